"""``extauthz explain`` with files of its own: what it prints, and its exit code."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from extauthz.cli import main
from extauthz.demo.minting import SigningKey
from tests.policies import document
from tests.tokens import CALCULATOR, ISSUER, jwks, mint, signer

DOWN = "https://down.example"
Explained = Callable[..., tuple[int, str]]


@pytest.fixture
def explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Explained:
    """Explains a request to the calculator or to another server: exit code and what is printed."""
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(jwks(signer())))
    servers = [one for one in document()["servers"] if one["name"] == "calculator"]
    down = {"name": "down", "issuer": DOWN, "jwks_file": str(tmp_path / "none.json")}
    issuers = [{"name": "corp", "issuer": ISSUER, "jwks_file": str(keys)}, down]
    servers = [one | {"issuers": ["corp", "down"]} for one in servers]
    file = tmp_path / "extauthz.yaml"
    file.write_text(json.dumps(document(issuers=issuers, servers=servers)))

    def run(*options: str, key: SigningKey | None = None, **claims: object) -> tuple[int, str]:
        right = {"aud": CALCULATOR, "scope": "calculator calculator.add"}
        token = mint(right | claims, key=key, now=time.time())
        code = main(["explain", "--config", str(file), "--token", token, *options])
        return code, capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("calls", "code", "verdict"),
    [
        ((), 0, "\nallowed\n"),
        (("--calls", "mcp"), 0, "\nallowed\n"),
        (("--calls", "none"), 1, "\nrefused: unverified_call\n"),
    ],
)
def test_a_tool_is_explained_as_behind_the_chosen_kind_of_proxy(
    explained: Explained, calls: tuple[str, ...], code: int, verdict: str
) -> None:
    told = explained("--tool", "add", *calls)
    assert told[0] == code
    assert verdict in told[1]


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ((), "allowed"),
        (("--url", CALCULATOR), "allowed"),
        (("--url", CALCULATOR + "/%2e"), "refused: ambiguous_path"),
        (("--url", CALCULATOR.partition("/calculator")[0]), "refused: no_matching_server"),
        (("--url", CALCULATOR + "?page=2"), "allowed"),
        (("--url", CALCULATOR + "?access_token=a"), "refused: malformed_request"),
        (("--path", "/calculator/other"), "allowed"),
        (("--path", "/notes"), "refused: no_matching_server"),
        (("--host", "other.example.com"), "refused: no_matching_server"),
        (("--host", "mcp.example.com", "--path", "/calculator/other"), "allowed"),
    ],
)
def test_the_request_is_for_what_is_named_and_else_for_the_only_server(
    explained: Explained, options: tuple[str, ...], verdict: str
) -> None:
    code, told = explained("--method", "GET", *options)
    assert f"\n{verdict}\n" in told
    assert code == (0 if verdict == "allowed" else 1)


@pytest.mark.parametrize("options", [(), ("--host", "mcp.example.com"), ("--path", "/a")])
def test_among_several_servers_host_and_path_have_to_be_named(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "extauthz.yaml"
    file.write_text(json.dumps(document()))
    assert main(["explain", "--config", str(file), *options]) == 2
    assert capsys.readouterr().err == "extauthz explain: give --host and --path, or --url\n"


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ((), "the question names no call: give --method with a JSON-RPC method"),
        (("--calls", "none"), "as behind a proxy that tells no call"),
    ],
)
def test_a_post_of_nothing_is_told_what_is_lacking_the_question_or_the_proxy(
    explained: Explained, options: tuple[str, ...], hint: str
) -> None:
    code, told = explained("--method", "POST", *options)
    assert code == 1
    hints = [line.split("hint")[1].strip() for line in told.splitlines() if "  hint " in line]
    assert [hint in one for one in hints] == [True]


@pytest.mark.parametrize("text", ["", " \n"])
def test_no_token_on_standard_input_is_a_mistake_in_the_call(
    explained: Explained, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert explained("--token", "-")[0] == 2


@pytest.mark.parametrize("copied", ["{}", " {}\n", "Bearer {}", "Authorization: Bearer {}"])
def test_a_token_is_taken_as_people_copy_it(explained: Explained, copied: str) -> None:
    right = {"aud": CALCULATOR, "scope": "calculator calculator.add"}
    token = copied.format(mint(right, now=time.time()))
    assert explained("--tool", "add", "--token", token)[0] == 0


def test_an_issuer_that_is_down_changes_nothing_for_the_tokens_of_another(
    explained: Explained,
) -> None:
    code, told = explained(key=signer("ES256", "unknown"))
    assert code == 1
    assert "keys of down: " in told
    assert "\nrefused: unknown_key\n" in told
    assert "\nrefused: keys_unavailable\n" in explained(iss=DOWN)[1]


def test_headers_are_indented_below_the_server_that_they_are_for(explained: Explained) -> None:
    lines = explained("--tool", "add")[1].partition("\nanswer:\n")[2].splitlines()
    assert lines[0] == "  to the server calculator:"
    assert "    x-auth-subject: alice" in lines
    assert "    (removed) authorization" in lines
    assert all(line.startswith("    ") for line in lines[1:])


def test_an_answer_stands_as_the_client_gets_it(explained: Explained) -> None:
    lines = explained("--tool", "add", scope="none")[1].partition("\nanswer:\n")[2].splitlines()
    assert lines[0] == "  HTTP 403"
    assert any(line.startswith("  www-authenticate: Bearer ") for line in lines)


def test_programs_are_told_a_refusal_in_parts(explained: Explained) -> None:
    code, text = explained("--tool", "add", "--calls", "none", "--json")
    told = json.loads(text)
    assert code == 1
    assert told["detail"] == "no source tells which method is called"
    assert (told["status"], told["server"], told["removed"]) == (403, "calculator", [])
    assert json.loads(told["body"])["error"]["data"]["reason"] == "unverified_call"
    assert told["headers"]["content-type"] == "application/json"
    assert "unverified_calls" in told["steps"][-1]["hint"]
    # As it was before these.
    assert told["answer"][0] == "HTTP 403"


def test_programs_are_told_of_an_allow_what_the_server_is_sent(explained: Explained) -> None:
    code, text = explained("--tool", "add", "--json")
    told = json.loads(text)
    assert code == 0
    assert (told["detail"], told["status"], told["body"]) == ("", None, None)
    assert told["headers"]["x-auth-subject"] == "alice"
    assert "authorization" in told["removed"]
    assert told["answer"][0] == "to the server calculator:"
    assert {step["hint"] for step in told["steps"]} >= {""}


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "GET", "--tool", "add"),
        ("--method", "DELETE", "--tool", "add"),
        ("--method", "post", "--tool", "add"),
        ("--method", "Post"),
        ("--method", "ping", "--tool", "add"),
        ("--method", "call", "--tool", "add"),
        ("--url", "https://["),
        ("--url", "calculator"),
        ("--url", ""),
        ("--method", "tools/call"),
        ("--method", "resources/read"),
    ],
)
def test_a_question_that_would_be_another_one_is_a_mistake_in_the_call(
    explained: Explained, options: tuple[str, ...]
) -> None:
    assert explained(*options) == (2, "")


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "POST", "--tool", "add"),
        ("--method", "PUT", "--tool", "add"),
        ("--method", "tools/call", "--tool", "add"),
        ("--method", "ping"),
        ("--method", "GET"),
    ],
)
def test_methods_that_fit(explained: Explained, options: tuple[str, ...]) -> None:
    assert explained(*options)[0] == 0


def test_an_empty_tool_is_a_tool(explained: Explained) -> None:
    """As ``--tool "$TOOL"`` gives where nothing is set."""
    assert "tools/call, as Envoy's MCP filter tells it" in explained("--tool", "")[1]
