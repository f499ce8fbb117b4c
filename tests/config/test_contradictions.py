"""What contradicts or repeats something else is reported, once, beside everything else."""

from __future__ import annotations

import pytest

from tests.config.desk import SERVERS, Desk

TWO_ISSUERS = """\
version: 1
issuers:
  - {name: a, issuer: https://a.example}
  - {name: b, issuer: https://b.example}
servers:
  - resource: https://m.example/x
"""


def test_with_several_issuers_a_server_must_choose(desk: Desk) -> None:
    assert desk.problems(TWO_ISSUERS) == [
        (
            "6:5: servers[0].issuers: missing; with several issuers expected some of a, b, "
            'or "*" for all'
        )
    ]
    for choice in ("[a]", "[https://b.example]", '"*"', '["*"]', "[a, b]"):
        desk.load(TWO_ISSUERS + f"    issuers: {choice}\n")


def test_two_issuers_of_one_server_must_not_accept_the_same_iss(desk: Desk) -> None:
    text = TWO_ISSUERS.replace("https://b.example", "https://a.example")
    assert desk.problems(text + '    issuers: "*"\n') == [
        (
            '7:14: servers[0].issuers: "a" and "b" both accept iss "https://a.example"; '
            "expected only one of them for one server"
        )
    ]
    assert desk.problems(text + "    issuers: [https://a.example]\n") == [
        (
            '7:15: servers[0].issuers[0]: "https://a.example" means several issuers; '
            "expected a name: a, b"
        )
    ]
    desk.load(text + "    issuers: [b]\n")


@pytest.mark.parametrize(
    ("second", "problems"),
    [
        (
            "https://m.example/x",
            [
                (
                    "6:15: servers[1].resource: the resource of servers[0] too; "
                    "expected a URL of its own"
                )
            ],
        ),
        (
            "https://m.example/x/",
            [
                (
                    "6:15: servers[1].resource: the resource of servers[0] too; "
                    "expected a URL of its own"
                )
            ],
        ),
        (
            "https://M.example:443/x",
            [
                (
                    "6:15: servers[1].resource: the resource of servers[0] too; "
                    "expected a URL of its own"
                )
            ],
        ),
        (
            "https://n.example/x\n    name: m.example/x",
            [
                (
                    '7:11: servers[1].name: "m.example/x" is '
                    "the name of servers[0] too; expected a unique name"
                )
            ],
        ),
        (
            "https://n.example/x\n    match: {hosts: [M.example.]}",
            [
                (
                    "7:12: servers[1].match: "
                    "m.example/x is matched by servers[0] too; expected another match"
                )
            ],
        ),
    ],
)
def test_servers_must_differ(desk: Desk, second: str, problems: list[str]) -> None:
    assert desk.problems(f"{SERVERS}  - resource: {second}\n") == problems


def test_issuers_must_have_different_names(desk: Desk) -> None:
    text = TWO_ISSUERS.replace("name: b", "name: a") + "    issuers: [a]\n"
    assert desk.problems(text) == [
        '4:12: issuers[1].name: "a" is the name of issuers[0] too; expected a unique name'
    ]


def test_one_mistake_never_hides_another(desk: Desk) -> None:
    text = """\
version: 1
issuers:
  - issuer: https://a.example
    leeway: 30
    discovery: off
  - issuer: http://b.example
    colour: blue
  - 5
servers:
  - resource: https://m.example/x
    issuers: [nobody]
    scopes: [a b]
    public_paths: [/y]
    public_paths: [/x]
  - resource: https://m.example/x
    tools: {a*: deny, "*a": 3, "a*b": deny, "a**c": deny}
    mode: [audit]
listen:
  grpc: nowhere
  grpc_tls: {cert_file: c}
workers: none
"""
    places = [problem.split(": ")[0:2] for problem in desk.problems(text)]
    assert [" ".join(place) for place in places] == [
        "4:13 issuers[0].leeway",
        "5:16 issuers[0].discovery",
        "6:13 issuers[1].issuer",
        "7:5 issuers[1].colour",
        "8:5 issuers[2]",
        "12:14 servers[0].scopes[0]",
        "13:20 servers[0].public_paths[0]",
        "14:5 servers[0].public_paths",
        "15:5 servers[1].issuers",
        "15:15 servers[1].resource",
        '16:29 servers[1].tools["*a"]',
        "17:11 servers[1].mode",
        "19:9 listen.grpc",
        "20:13 listen.grpc_tls.key_file",
        "21:10 workers",
    ]


def test_a_mistake_is_not_said_twice(desk: Desk) -> None:
    """What follows from a reported mistake is no mistake of its own."""
    text = SERVERS.replace("https://a.example", "{}") + "    issuers: [corp]\n"
    assert len(desk.problems(text)) == 1
