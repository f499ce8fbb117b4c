"""What ``explain`` says of a request that is nearly right, whatever its token's claims."""

from __future__ import annotations

import pytest

from extauthz.core.engine import Engine
from extauthz.core.explain import explain
from extauthz.core.model import Reason
from extauthz.core.near_requests import token_alone
from tests.policies import SERVERS, asking, key_sets, policy_for_tests
from tests.tokens import NOW, mint

NOTES = SERVERS[0]


def told(token: str | None = None, servers: object = SERVERS, **asked: str) -> tuple[object, str]:
    """The reason of a refusal, and all hints."""
    engine = Engine(policy_for_tests(servers=servers))
    found = explain(engine, asking(token, **asked), key_sets(), now=NOW)  # type: ignore[arg-type]
    return found.reason, "; ".join(found.hints)


def test_of_a_host_that_is_no_servers_the_hosts_there_are_are_named() -> None:
    local = {"name": "local", "resource": "http://127.0.0.1:9000/x", "issuers": ["corp"]}
    reason, hints = told(host="mcp.internal", servers=[NOTES, local])
    assert reason is Reason.NO_MATCHING_SERVER
    assert "no server has this host; there are mcp.example.com, 127.0.0.1:9000:" in hints


def test_of_a_path_that_is_no_servers_the_paths_of_its_host_are_named() -> None:
    other = {"name": "other", "resource": "https://other.example/there", "issuers": ["corp"]}
    reason, hints = told(target="/notesx/mcp", servers=[*SERVERS[:2], other])
    assert reason is Reason.NO_MATCHING_SERVER
    assert hints.endswith("on it there are /notes (notes), /calculator (calculator)")


@pytest.mark.parametrize("named", ["calculator", "nobody"])
def test_where_the_proxy_names_another_server_the_one_it_should_name_is_told(named: str) -> None:
    assert told(server=named) == (
        Reason.NO_MATCHING_SERVER,
        "host and path are those of the server notes: let the proxy name that one",
    )


@pytest.mark.parametrize(("count", "end"), [(10, "/s9 (s9)"), (11, "/s9 (s9) and 1 more")])
def test_no_more_than_ten_are_named(count: int, end: str) -> None:
    servers = [
        {"name": f"s{i}", "resource": f"https://mcp.example.com/s{i}", "issuers": ["corp"]}
        for i in range(count)
    ]
    assert told(servers=servers)[1].endswith(end)


GOOD = mint()


@pytest.mark.parametrize(
    ("pasted", "hint"),
    [
        (f'"{GOOD}"', "leave them out"),
        (f'{{"access_token": "{GOOD}"}}', "the value of access_token"),
        (f'{{"access_token":"{GOOD}","token_type":"Bearer"}}', "the value of access_token"),
        (f"{GOOD[:76]}\n{GOOD[76:]}", "one line"),
        (f"{GOOD[:76]} {GOOD[76:]}", "one line"),
    ],
)
def test_what_is_copied_along_with_a_token_is_named_and_the_token_is_not(
    pasted: str, hint: str
) -> None:
    reason, hints = told(pasted)
    assert reason in (Reason.MALFORMED_TOKEN, Reason.MALFORMED_REQUEST)
    assert hint in hints
    assert GOOD[:20] not in hints


@pytest.mark.parametrize(
    "pasted",
    ["a.b.c", " a.b.c\r\n", "Bearer a.b.c", "bearer  a.b.c\n", "Authorization: Bearer a.b.c"],
)
def test_a_header_copied_whole_is_as_good_as_the_token_in_it(pasted: str) -> None:
    assert token_alone(pasted) == "a.b.c"


@pytest.mark.parametrize("pasted", ["", "Bearer", "Bearera.b.c", "a.b.c Bearer d", "Basic a"])
def test_nothing_else_is_taken_away(pasted: str) -> None:
    assert token_alone(pasted) == pasted


def test_what_is_right_or_absent_is_no_near_miss() -> None:
    assert told(GOOD) == (None, "")
    assert told() == (Reason.MISSING_TOKEN, "")
    assert told("a,b") == (Reason.MALFORMED_REQUEST, "")
