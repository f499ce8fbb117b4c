"""The digest of what a configuration means: the same for the same, and for nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from extauthz.config.compile import compile_policy
from extauthz.config.load import load
from extauthz.service.meaning import meaning_of
from extauthz.service.sources import issuer_sources
from tests.policies import document
from tests.service.conftest import Running, until

FILE = """\
version: 1
issuers:
  - {issuer: https://a.example, name: a}
  - {issuer: https://b.example, name: b, scope_claims: [scope, scp]}
servers:
  - resource: https://mcp.example.com/notes/mcp
    issuers: [a, b]
    scopes: [notes]
    tools: {add: [x], get: allow, danger_*: deny, risky_*: deny}
  - {resource: https://mcp.example.com/other/mcp, issuers: [a]}
"""
SAME = {
    "comments": "# mine\n" + FILE,
    "blanks and line ends": FILE.replace("\n", "\r\n\r\n"),
    "the order of issuers and servers": """\
version: 1
servers:
  - {issuers: [a], resource: https://mcp.example.com/other/mcp}
  - tools: {risky_*: deny, danger_*: deny, get: allow, add: [x]}
    scopes: [notes]
    resource: https://mcp.example.com/notes/mcp
    issuers: [a, b]
issuers:
  - {issuer: https://b.example, name: b}
  - {issuer: https://a.example, name: a}
""",
    "defaults written out": FILE.replace(
        "    scopes: [notes]",
        "    scopes: [notes]\n    mode: enforce\n    audiences: "
        "[https://mcp.example.com/notes/mcp]\n    match: {hosts: [mcp.example.com], paths: "
        "[/notes/mcp]}\n    name: mcp.example.com/notes/mcp",
    ),
    "a rule in its other form": FILE.replace("add: [x]", "add: {scopes: [x]}"),
    "an issuer by its URL": FILE.replace("issuers: [a, b]", "issuers: [https://a.example, b]"),
    "where it listens": FILE + "listen: {http: off}\n",
    "what stands outside issuers and servers": FILE
    + "workers: 3\ndrain: 1s\nlog: {level: error}\ntokens: {max_bytes: 8KiB}\n"
    "edge: {listen: 0.0.0.0:443}\nstate_dir: /x\n",
    "upstream, which others read": FILE.replace(
        "    scopes: [notes]", "    scopes: [notes]\n    upstream: http://127.0.0.1:8001"
    ),
}
OTHER = {
    "an issuer": ("issuer: https://b.example", "issuer: https://c.example"),
    "algorithms": ("name: a}", "name: a, algorithms: [ES256]}"),
    "which issuer comes first": ("    issuers: [a, b]", "    issuers: [b, a]"),
    "a scope": ("scopes: [notes]", "scopes: [note]"),
    "a rule": ("get: allow", "get: deny"),
    "the scopes of a rule": ("add: [x]", "add: [x, y]"),
    "a glob": ("risky_*: deny", "risk_*: deny"),
    "the path": ("com/other/mcp", "com/another/mcp"),
    "the mode": ("scopes: [notes]", "mode: audit\n    scopes: [notes]"),
    "where keys are": ("name: b,", "name: b, jwks_uri: https://b.example/keys,"),
    "how often keys are fetched": ("name: b,", "name: b, keys: {refresh: 5m},"),
    "a claim": ("name: b,", "name: b, required_claims: {tid: x},"),
    "the type of a claim's value": ("name: b,", "name: b, required_claims: {tid: 1},"),
    "leeway": ("name: b,", "name: b, leeway: 1s,"),
    "an extra header": (
        "scopes: [notes]",
        "forward: {headers: {x-mail: email}}\n    scopes: [notes]",
    ),
    "a public path": ("scopes: [notes]", "public_paths: [/notes/mcp/x]\n    scopes: [notes]"),
    "an origin": ("scopes: [notes]", 'origins: ["*"]\n    scopes: [notes]'),
}


def meaning(text: str, environ: Mapping[str, str] | None = None, **flags: str) -> str:
    loaded = load("x.yaml", environ=environ or {}, flags=flags, read=lambda _: text.encode())
    return meaning_of(compile_policy(loaded), issuer_sources(loaded))


def changed(was: str, now: str) -> str:
    assert FILE.count(was) == 1, was
    return FILE.replace(was, now)


@pytest.mark.parametrize("text", SAME.values(), ids=SAME.keys())
def test_what_means_the_same_has_the_same_digest(text: str) -> None:
    assert text != FILE
    assert meaning(text) == meaning(FILE)


def test_what_means_something_else_has_a_digest_of_its_own() -> None:
    texts = {what: changed(*change) for what, change in OTHER.items()}
    digests = {what: meaning(text) for what, text in texts.items()}
    assert len({*digests.values(), meaning(FILE)}) == len(OTHER) + 1, digests


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tools: {a*: deny, b*: [x]}", "tools: {b*: [x], a*: deny}"),
        ("claims: {a: 1, b: [x, y]}", "claims: {b: [x, y], a: 1}"),
        ("forward: {headers: {x-a: a, x-b: b}}", "forward: {headers: {x-b: b, x-a: a}}"),
        (
            "tools: {t: {claims: {a: 1, b: 2}, any_scopes: [x]}}",
            "tools: {t: {any_scopes: [x], claims: {b: 2, a: 1}}}",
        ),
    ],
)
def test_the_order_of_keys_does_not_count_and_what_they_say_does(one: str, other: str) -> None:
    def within(text: str) -> str:
        return meaning(
            changed(
                "scopes: [notes]\n    tools: {add: [x], get: allow, ", f"{text}\n    prompts: {{"
            )
        )

    assert within(one) == within(other)
    assert within(one) != within(one.replace("b", "c"))


def test_variables_and_flags_make_no_difference() -> None:
    environ = {
        "EXTAUTHZ_LISTEN_ADMIN": "off",
        "EXTAUTHZ_LOG_LEVEL": "error",
        "EXTAUTHZ_TOKENS_MAX_BYTES": "2KiB",
        "EXTAUTHZ_TOKENS_CACHE_ENTRIES": "0",
        "EXTAUTHZ_WORKERS": "2",
    }
    assert meaning(FILE, environ, **{"listen.grpc": "off", "drain": "0s"}) == meaning(FILE)


def test_the_digest_of_today_is_that_of_any_process_and_day() -> None:
    """Replicas, and a doctor elsewhere, compare it: it hangs on no order of a set."""
    assert meaning(FILE) == "94137a3b22f9"


def test_an_inventory_of_everything_has_one() -> None:
    assert len(meaning(json.dumps(document()))) == 12


def test_the_environment_alone_has_one_too() -> None:
    environ = {"OAUTH_ISSUER": "https://a.example", "OAUTH_AUDIENCE": "x"}
    digests = set()
    for more in ({}, {"EXTAUTHZ_ALLOWED_CLIENTS": "a"}, {"EXTAUTHZ_ALLOWED_CLIENTS": "a,b"}):
        loaded = load(environ={**environ, **more}, read=_nothing)
        digests.add(meaning_of(compile_policy(loaded), issuer_sources(loaded)))
    assert len(digests) == 3


def _nothing(path: str) -> bytes:
    raise FileNotFoundError(2, "No such file", path)


def test_a_running_service_tells_it_and_what_a_changed_file_means(service: Running) -> None:
    def told(name: str) -> Any:
        return service.status()["health"]["config"][name]

    def holds(before: str) -> Callable[[], bool]:
        return lambda: told("digest") != before

    text = service.file.read_text()
    first, digest = told("meaning"), told("digest")
    assert first == meaning(text)
    service.file.write_text(f"# a word more\n{text}")
    service.reload()
    until(holds(digest))
    assert told("meaning") == first
    digest = told("digest")
    service.write(scope="other")
    service.reload()
    until(holds(digest))
    assert told("meaning") == meaning(service.file.read_text()) != first
