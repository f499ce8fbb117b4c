"""Whatever a file holds: it yields a configuration or ConfigError, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.config.compile import compile_policy
from extauthz.config.dotenv import parse_dotenv
from extauthz.config.model import Settings
from extauthz.config.problems import ConfigError, Problem
from extauthz.config.schema import json_schema
from tests.config.desk import SERVERS, Desk

quick = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

KEYS = sorted(
    {
        name
        for part in json_schema()["$defs"].values()
        for name in (*part.get("properties", {}), "*", "tid", "x-a", "a*")
    }
    | set(Settings.model_fields)
)
WORDS = ["allow", "deny", "off", "*", "https://a.example", "http://localhost:1/x", "30s", "1MiB"]
WORDS += ["/x/*", "https://x/{tenantid}/", "127.0.0.1:1", "unix:/x", "RS256", "auto", "", "null"]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
trees: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4)), inner, max_size=5),
    ),
    max_leaves=15,
)


def report(
    text: str | bytes | None, environ: dict[str, str] | None = None
) -> tuple[Problem, ...] | None:
    """The problems, or None where all is good and makes a policy."""
    try:
        compile_policy(Desk().load(text, environ=environ))
    except ConfigError as error:
        return error.problems
    return None


def check(text: str | bytes | None, environ: dict[str, str] | None = None) -> None:
    problems = report(text, environ)
    assert problems is None or len(problems) > 0
    for problem in problems or ():
        assert problem.text
        assert "\n" not in str(problem)
        assert "Input should be" not in problem.text


@quick
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


@quick
@given(st.text(alphabet="ab1:-?*&!|>'\"%@`{}[],# \t\n\\~<=", max_size=60))
def test_any_text_that_looks_like_yaml(text: str) -> None:
    check(text)


@quick
@given(st.dictionaries(st.sampled_from(KEYS), trees, max_size=6))
def test_any_tree_of_known_and_unknown_keys(tree: dict[str, Any]) -> None:
    check(json.dumps({"version": 1, **tree}))


@quick
@given(trees, st.sampled_from(sorted(json_schema()["$defs"]["IssuerSettings"]["properties"])))
def test_any_value_of_an_issuers_key(value: object, key: str) -> None:
    issuer = {"issuer": "https://a.example", key: value}
    check(json.dumps({"version": 1, "issuers": [issuer], "servers": [{"resource": "https://x"}]}))


@quick
@given(trees, st.sampled_from(sorted(json_schema()["$defs"]["ServerSettings"]["properties"])))
def test_any_value_of_a_servers_key(value: object, key: str) -> None:
    server = {"resource": "https://m.example/x", key: value}
    issuer = {"issuer": "https://a.example"}
    check(json.dumps({"version": 1, "issuers": [issuer], "servers": [server, server]}))


@quick
@given(st.text(max_size=40))
def test_any_url(url: str) -> None:
    for key in ("issuer", "advertised_issuer", "jwks_uri"):
        issuer = {"issuer": "https://a.example", key: url}
        server = {"resource": url, "upstream": url, "origins": [url], "match": {"paths": [url]}}
        check(json.dumps({"version": 1, "issuers": [issuer], "servers": [server]}))


VARIABLES = ["OAUTH_ISSUER", "OAUTH_AUDIENCE", "OAUTH_JWKS_URL", "OAUTH_WELL_KNOWN_URL", "PORT"]
VARIABLES += ["HOST", "EXTAUTHZ_RESOURCE", "EXTAUTHZ_ALLOWED_CLIENTS", "EXTAUTHZ_ANY_AUDIENCE"]
VARIABLES += ["OAUTH2_JWKS_CACHE_TTL", "EXTAUTHZ_WORKERS", "EXTAUTHZ_LISTEN_GRPC", "EXTAUTHZ_X"]


@quick
@given(st.dictionaries(st.sampled_from(VARIABLES), st.one_of(st.sampled_from(WORDS), st.text())))
def test_any_environment(environ: dict[str, str]) -> None:
    for text in (SERVERS, None):
        check(text, environ)


@quick
@given(st.binary(max_size=80))
def test_any_dotenv(data: bytes) -> None:
    found = parse_dotenv(data, ".env")
    assert all("\n" not in str(problem) for problem in found.problems)
