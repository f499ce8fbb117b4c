"""What is allowed but risky is said aloud, with its place; what is not risky is not."""

from __future__ import annotations

import pytest

from tests.config.desk import HEAD, SERVERS, Desk, at_issuer, at_server

ISSUER = {
    "jwks_uri: http://k.example/k\nallow_http_hosts: [k.example]": [
        (
            '4:15: issuers[0].jwks_uri: "http://k.example/k" is plain http: anyone on the way '
            "can forge the keys"
        ),
        (
            "5:23: issuers[0].allow_http_hosts: plain http to k.example: anyone on the way can "
            "forge the keys"
        ),
    ],
    "leeway: 301s": [
        "4:13: issuers[0].leeway: expired tokens are taken for 301 s more; a minute is plenty"
    ],
    "keys: {cooldown: 999ms}": [
        (
            "4:22: issuers[0].keys.cooldown: made-up key ids can make this service ask the issuer "
            "more than once a second"
        )
    ],
}
SERVER = {
    "mode: audit": [
        "6:11: servers[0].mode: audit: nothing is refused for this server, only logged"
    ],
    "unverified_calls: allow_without_rules": [
        (
            "6:23: servers[0].unverified_calls: a POST whose call cannot be known passes without "
            "the rules for tools and others, once there are any"
        )
    ],
    "tools: {a: deny}\nunverified_calls: allow_without_rules": [
        (
            "7:23: servers[0].unverified_calls: a POST whose call cannot be known passes without "
            "the rules for tools and others"
        )
    ],
    "header_versions: [2026-07-28]": [
        (
            "6:22: servers[0].header_versions: Mcp-* headers are the client's word: they hold only "
            "if this backend refuses a body that differs"
        )
    ],
    "header_versions: [2026-07-27, 2026-07-28]": [
        (
            "6:22: servers[0].header_versions: Mcp-* headers are the client's word: they hold only "
            "if this backend refuses a body that differs"
        ),
        (
            "6:23: servers[0].header_versions[0]: 2026-07-27 knows no Mcp-* headers, so hardly any "
            "server compares them: a client can name one tool there and call another"
        ),
    ],
    'origins: "*"': [
        "6:14: servers[0].origins: pages of any origin may call this server from a browser"
    ],
    "forward: {token: keep}": [
        (
            "6:22: servers[0].forward.token: the MCP server gets the caller's token and can use it "
            "elsewhere"
        )
    ],
    "upstream: http://x:8000/mcp": [
        (
            "6:15: servers[0].upstream: has a path, but paths are passed on as the client wrote "
            "them; expected http://x:8000, and the MCP server at the path of its resource"
        )
    ],
    "upstream: http://x:8000/": [],
    "public_paths: ['/x/*']": [
        '6:20: servers[0].public_paths[0]: "/x/*" is all of /x: no token is asked for'
    ],
    "public_paths: [/x]": [
        (
            '6:20: servers[0].public_paths[0]: "/x" is where clients call the server: no token is '
            "asked for"
        )
    ],
    "public_paths: [/x/health]": [],
    "match: {paths: [/x, /token]}": [
        (
            '6:12: servers[0].match: "/token" is answered by extauthz itself: no request gets to '
            "the server"
        )
    ],
    "match: {paths: [/x, /tokens, /.well-known/x]}": [],
    "scopes: [offline_access]": [
        (
            "6:13: servers[0].scopes: offline_access asks for a refresh token and is in hardly any "
            "access token: demanding it may refuse everybody"
        )
    ],
    "tools: {a: [offline_access]}": [
        (
            "6:16: servers[0].tools.a: offline_access asks for a refresh token and is in hardly "
            "any access token: demanding it may refuse everybody"
        )
    ],
    "tools: {a: [deny], b: {any_scopes: [x, allow]}, c: deny, d: [denied]}": [
        ("6:16: servers[0].tools.a: a scope named deny is demanded; for the rule write deny alone"),
        (
            "6:27: servers[0].tools.b: a scope named allow is demanded; for the rule write allow "
            "alone"
        ),
    ],
    'methods: {"*": deny}\ntools: {a: allow}': [
        (
            '6:20: servers[0].methods["*"]: leaves prompts/get, resources/read, '
            "resources/subscribe, resources/unsubscribe to the server's scopes: "
            "rules for them stand in prompts, resources"
        ),
    ],
    "methods: {tools/*: [s], tools/list: deny}": [
        (
            '6:24: servers[0].methods["tools/*"]: leaves tools/call to the server\'s scopes: '
            "rules for them stand in tools"
        ),
    ],
    "tools: {a: [], b: {}}": [
        (
            "6:16: servers[0].tools.a: demands nothing, which is the same as allow; write allow "
            "or deny"
        ),
        (
            "6:23: servers[0].tools.b: demands nothing, which is the same as allow; write allow "
            "or deny"
        ),
    ],
}


@pytest.mark.parametrize(("lines", "warnings"), ISSUER.items(), ids=list(ISSUER))
def test_issuers(desk: Desk, lines: str, warnings: list[str]) -> None:
    assert desk.warnings(at_issuer(lines)) == warnings


@pytest.mark.requirement("M5")
@pytest.mark.parametrize(("lines", "warnings"), SERVER.items(), ids=list(SERVER))
def test_servers(desk: Desk, lines: str, warnings: list[str]) -> None:
    assert desk.warnings(at_server(lines)) == warnings


def test_variables_in_a_text_are_not_replaced(desk: Desk) -> None:
    text = at_server("audiences: ['${AUD}', '$AUD', '{AUD}', '${}']")
    assert desk.warnings(text + "state_dir: /var/${NAME:-it}\n") == [
        (
            "6:17: servers[0].audiences[0]: ${AUD} is not replaced in a configuration; expected "
            "the value itself, put in before it is read (envsubst, Helm)"
        ),
        (
            "7:12: state_dir: ${NAME} is not replaced in a configuration; expected the value "
            "itself, or the variable EXTAUTHZ_STATE_DIR and nothing here"
        ),
    ]


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_trusting_every_proxy(desk: Desk, network: str) -> None:
    assert desk.warnings(f"{SERVERS}listen: {{trusted_proxies: ['{network}']}}\n") == [
        (
            "6:28: listen.trusted_proxies[0]: every peer is trusted to say which request is "
            "judged; name the proxies instead"
        )
    ]


@pytest.mark.parametrize("listener", ["grpc", "http", "admin"])
def test_a_unix_socket_for_everybody(desk: Desk, listener: str) -> None:
    text = f"{SERVERS}listen: {{{listener}: 'unix:/run/x', unix_mode: '%s'}}\n"
    (warning,) = desk.warnings(text % "0662")
    assert warning.endswith(
        "listen.unix_mode: everybody on this machine may connect, and whoever does is believed "
        'like a trusted proxy; let a group in instead: "0660"'
    )
    for mode in ("0660", "0664", "0600"):
        assert desk.warnings(text % mode) == []


def test_a_mode_for_no_socket(desk: Desk) -> None:
    assert desk.warnings(f"{SERVERS}listen: {{unix_mode: '0666'}}\n") == [
        "6:21: listen.unix_mode: no listener is a Unix socket, so that it has no effect"
    ]
    assert desk.warnings(SERVERS) == []


def test_rules_that_no_door_can_apply(desk: Desk) -> None:
    text = at_server("tools: {a: deny}") + "listen: {grpc: off}\n"
    assert desk.warnings(text) == [
        (
            "5:5: servers[0]: listen.grpc is off and few proxies send forward-auth the body; "
            "without it, which tool is called is not known: every POST will be refused"
        )
    ]
    assert "which tool" not in str(
        desk.warnings(text.replace("    tools", "    header_versions: [2026-07-28]\n    tools"))
    )


@pytest.mark.parametrize(
    ("resource", "usual"),
    [
        ("HTTPS://m.example/x", "https://m.example/x"),
        ("https://M.example/X", "https://m.example/X"),
        ("https://m.example:443/x", "https://m.example/x"),
        ("http://127.0.0.1:80/x", "http://127.0.0.1/x"),
    ],
)
def test_a_resource_that_clients_write_otherwise(desk: Desk, resource: str, usual: str) -> None:
    """Whatever reads URLs lower-cases them, so that no token is ever for what stands here."""
    assert desk.warnings(SERVERS.replace("https://m.example/x", resource)) == [
        (
            f'5:15: servers[0].resource: clients write "{usual}" and get tokens for that, which '
            "audiences compare byte for byte"
        )
    ]
    assert desk.warnings(SERVERS.replace("https://m.example/x", usual)) == []


def test_a_shared_audience(desk: Desk) -> None:
    text = at_server("audiences: [api]") + (
        "  - {resource: https://m.example/y, audiences: [https://m.example/y, api]}\n"
    )
    assert desk.warnings(text) == [
        (
            '7:48: servers[1].audiences: "api" is an audience of m.example/x too: a token for one '
            "of them is good for the other"
        )
    ]


def test_a_match_that_leaves_out_the_server_s_own_resource(desk: Desk) -> None:
    """Host and path come as clients send them, so that nothing else gets requests there."""
    own = 'servers[0].match: does not cover the server\'s own resource "https://m.example/x": '
    advice = "; name m.example in match.hosts and /x in match.paths"
    for match in ("paths: [/xy]", "paths: [/x/y]", "hosts: [n.example]", "hosts: ['m.example:81']"):
        assert desk.warnings(at_server(f"match: {{{match}}}")) == [
            f"6:12: {own}requests for it go to nobody (no_matching_server){advice}"
        ]
    other = "  - {name: all, resource: https://m.example/, match: {hosts: ['*']}}\n"
    assert desk.warnings(at_server("match: {paths: [/y]}") + other) == [
        f"6:12: {own}requests for it go to all{advice}"
    ]


@pytest.mark.parametrize(
    ("first", "second", "advice"),
    [
        (
            "/b",
            "/b/sub\n    match: {hosts: ['*']}",
            "name m.example in match.hosts and /b/sub in match.paths",
        ),
        (
            "/b\n    match: {paths: [/b, /c/d]}",
            "/c/d/e\n    match: {paths: [/c]}",
            "name m.example in match.hosts and /c/d/e in match.paths",
        ),
        (
            ":81/b\n    match: {hosts: ['m.example:81'], paths: [/]}",
            ":81/c",
            "name m.example:81 in match.hosts and /c in match.paths",
        ),
    ],
)
def test_a_server_whose_resource_another_one_matches_more_exactly(
    desk: Desk, first: str, second: str, advice: str
) -> None:
    (warning,) = desk.warnings(
        f"{HEAD}servers:\n  - name: b\n    resource: https://m.example{first}\n"
        f"  - name: c\n    resource: https://m.example{second}\n"
    )
    at = "match" if "match" in second else "resource"
    own = f'the server\'s own resource "https://m.example{second.partition(chr(10))[0]}"'
    assert warning.partition(": ")[2] == (
        f"servers[1].{at}: requests for {own} go to b, which matches them more exactly; {advice}"
    )


@pytest.mark.parametrize(
    "text",
    [
        SERVERS,
        at_server("match: {paths: [/x/]}"),
        at_server("match: {paths: [/y, /]}"),
        at_server("match: {hosts: [n.example, '*.example']}"),
        at_server("match: {hosts: ['*'], paths: [/]}") + "  - resource: https://m.example/x/y\n",
        at_server("match: {hosts: [m.example]}") + "  - resource: https://m.example/x/y\n",
        SERVERS.replace("https://m.example/x", "http://127.0.0.1:8443/x"),
        at_issuer("leeway: 300s\nkeys: {cooldown: 1s}"),
        at_issuer("jwks_uri: http://localhost:1/k"),
        at_server("public_paths: ['/x/y/*']"),
        at_server("methods: {tools/*: [s]}\ntools: {a: allow}"),
        at_server('methods: {"*": allow, logging/*: deny}'),
        SERVERS + "listen: {grpc: off}\n",
        SERVERS.replace("https://m.example/x", "https://m.example:8443/x/"),
        SERVERS.replace("https://m.example/x", "https://m.example"),
    ],
)
def test_no_false_alarms(desk: Desk, text: str) -> None:
    assert desk.warnings(text) == []
