"""Every mistake is reported, at its place, in words that say what was expected."""

from __future__ import annotations

import pytest

from tests.config.desk import SERVERS, Desk, at_issuer, at_server

TOP = {
    "lisen: {}": "6:1: lisen: unknown key; expected listen?",
    "LOG: {}": "6:1: LOG: unknown key; expected log?",
    "listen: {GRPC: x}": "6:10: listen.GRPC: unknown key; expected grpc?",
    "<<: {}": '6:1: ["<<"]: YAML 1.2 has no merge keys; expected the keys themselves',
    "leeway: 10s": "6:1: leeway: unknown key here; expected at issuers[]",
    "cert_file: a": "6:1: cert_file: unknown key here; expected at listen.grpc_tls or "
    "listen.http_tls or edge.tls",
    "log: {workers: 2}": "6:7: log.workers: unknown key here; expected at the top level",
    "zzz: 1": "6:1: zzz: unknown key; expected one of version, listen, issuers, servers, edge, "
    "tokens, state_dir, workers, drain, log",
    "revocation: {}": "6:1: revocation: reserved for a later version; expected it to be absent",
    "listen: 9191": "6:9: listen: found the number 9191; expected a mapping of keys to values",
    "listen: {grpc: '${AT}'}": "6:16: listen.grpc: ${AT} is not replaced in a configuration; "
    "expected the value itself, or the variable EXTAUTHZ_LISTEN_GRPC and nothing here",
    "listen: {grpc: 9191}": "6:16: listen.grpc: found the number 9191; expected host:port or "
    "unix:/path, or off",
    "listen: {grpc: ':9191'}": '6:16: listen.grpc: ":9191" names no host; expected 0.0.0.0:9191 '
    "to listen everywhere",
    "listen: {grpc: 'h:65536'}": '6:16: listen.grpc: "h:65536" is not an address; expected '
    "host:port or unix:/path, or off",
    "listen: {http: 'unix:run/x'}": '6:16: listen.http: "unix:run/x" is not an address; expected '
    "unix: and an absolute path",
    "listen: {grpc: off, http: off}": "6:16: listen.grpc: both doors are off; expected listen.grpc "
    "or listen.http to have an address",
    "listen: {admin: 127.0.0.1:8080}": "6:17: listen.admin: the same address as listen.http; "
    "expected one of its own",
    "listen: {grpc_transport: c}": '6:26: listen.grpc_transport: found "c"; expected one of '
    "grpcio, native",
    "listen: {grpc_tls: {cert_file: a}}": "6:20: listen.grpc_tls.key_file: missing; expected the "
    "key of cert_file",
    "listen: {http_tls: {key_file: a}}": "6:20: listen.http_tls.cert_file: missing; expected the "
    "certificate of key_file",
    "listen: {http_tls: {client_ca_file: a}}": "6:37: listen.http_tls.client_ca_file: client "
    "certificates need TLS; expected cert_file and key_file beside it",
    "listen: {unix_mode: 0660}": "6:21: listen.unix_mode: found the number 660; expected octal "
    'digits in quotes that let the owner read and write, such as "0660"',
    "listen: {unix_mode: '0o660'}": '6:21: listen.unix_mode: "0o660" is not the mode of a socket; '
    'expected octal digits in quotes that let the owner read and write, such as "0660"',
    "listen: {trusted_proxies: [10.0.0.1/8]}": '6:28: listen.trusted_proxies[0]: "10.0.0.1/8" is '
    "not a network; expected 10.0.0.0/8",
    "listen: {trusted_proxies: [x]}": '6:28: listen.trusted_proxies[0]: "x" is not a network; '
    "expected a network such as 10.0.0.0/8 or ::1/128",
    "edge: {tls: {cert_file: a}}": "6:13: edge.tls.key_file: missing; expected the key of "
    "cert_file",
    "edge: {listen: off}": '6:16: edge.listen: "off" is not an address; expected host:port or '
    "unix:/path",
    "tokens: {max_bytes: 16384}": "6:21: tokens.max_bytes: found the number 16384; expected a "
    "size such as 16KiB or 1MiB",
    "tokens: {max_bytes: 16KB}": '6:21: tokens.max_bytes: "16KB" is not a size; expected a size '
    "such as 16KiB or 1MiB",
    "tokens: {max_bytes: 2MiB}": '6:21: tokens.max_bytes: "2MiB" is out of range; expected '
    "1KiB to 1MiB",
    "tokens: {cache_entries: -1}": "6:25: tokens.cache_entries: found the number -1; expected at "
    "least 0",
    "tokens: {cache_entries: 1.5}": "6:25: tokens.cache_entries: found the number 1.5; expected a "
    "whole number",
    "state_dir: 1": "6:12: state_dir: found the number 1; expected text, in quotes if it looks "
    "like something else",
    "state_dir: ''": '6:12: state_dir: "" is empty or holds a control character; expected plain '
    "text",
    "workers: 0": "6:10: workers: found the number 0; expected at least 1",
    "workers: true": "6:10: workers: found true; expected a whole number",
    "workers: '1'": '6:10: workers: found "1"; expected a whole number',
    "drain: 5": "6:8: drain: found the number 5; expected a duration such as 500ms, 30s, 10m or "
    "24h",
    "drain: 1d": '6:8: drain: "1d" is not a duration; expected a duration such as 500ms, 30s, 10m '
    "or 24h",
    "drain: 11s": '6:8: drain: "11s" is out of range; expected 0s to 10s',
    "log: {level: trace}": '6:14: log.level: found "trace"; expected one of debug, info, warning, '
    "error",
    "log: {allow_sample: 1.1}": "6:21: log.allow_sample: found the number 1.1; expected at most "
    "1.0",
    "log: {allow_sample: .nan}": "6:21: log.allow_sample: found the number nan; expected a number",
}

ISSUER = {
    "jwks_uri: '${KEYS}'": "4:15: issuers[0].jwks_uri: ${KEYS} is not replaced in a configuration; "
    "expected the value itself, put in before it is read (envsubst, Helm)",
    "issuer2: x": "4:5: issuers[0].issuer2: unknown key; expected issuer?",
    "refresh: 1s": "4:5: issuers[0].refresh: unknown key here; expected at issuers[].keys",
    "introspection: {}": "4:5: issuers[0].introspection: reserved for a later version; expected "
    "it to be absent",
    "name: a b": '4:11: issuers[0].name: "a b" cannot be a name; expected letters, digits and '
    "._~:/@%+- (write a name where the default has others)",
    "accepted_issuers: ['https://x/{tenant}/']": "4:24: issuers[0].accepted_issuers[0]: "
    '"https://x/{tenant}/" is not a template; expected {tenantid} once, and no other braces',
    "accepted_issuers: ['https://x/{tenantid}/?a']": "4:24: issuers[0].accepted_issuers[0]: "
    '"https://x/{tenantid}/?a" has a query or a fragment; expected an absolute URL such as '
    "https://host/path",
    "accepted_issuers: ['https://x/{tenantid}/']": "3:5: issuers[0].required_claims: no tid; a "
    "template in accepted_issuers takes every tenant of the provider; expected tid: [the tenants "
    "that may call]",
    "accepted_issuers: ['https://x/{tenantid}/']\nrequired_claims: {tid: mine}": "5:28: "
    'issuers[0].required_claims.tid: "mine" is no tenant; expected a GUID',
    "accepted_issuers: ['http://x.example']": "4:24: issuers[0].accepted_issuers[0]: "
    '"http://x.example" is plain http, whose answers anyone on the way can forge; expected https, '
    "or issuers[0].allow_http_hosts: [x.example]",
    "accepted_issuers: ['http://x.example']\nallow_http_hosts: [y.example]": "4:24: "
    'issuers[0].accepted_issuers[0]: "http://x.example" is plain http, whose answers anyone on the '
    "way can forge; expected https, or issuers[0].allow_http_hosts: [y.example, x.example]",
    "advertised_issuer: mine": '4:24: issuers[0].advertised_issuer: "mine" is not an http(s) URL; '
    "expected an absolute URL such as https://host/path",
    "jwks_uri: http://k.example/k": '4:15: issuers[0].jwks_uri: "http://k.example/k" is plain '
    "http, whose answers anyone on the way can forge; expected https, or "
    "issuers[0].allow_http_hosts: [k.example]",
    "jwks_uri: https://k.example/k#x": '4:15: issuers[0].jwks_uri: "https://k.example/k#x" is not '
    "an http(s) URL; expected an absolute URL without fragment",
    "jwks_uri: https://k.example/k\njwks_file: k": "5:16: issuers[0].jwks_file: given beside "
    "jwks_uri; expected only one source of keys",
    "discovery: off": "4:16: issuers[0].discovery: off leaves no source of keys; expected "
    "jwks_uri or jwks_file beside it",
    "discovery: on": '4:16: issuers[0].discovery: found "on"; expected one of auto, oidc, oauth, '
    "off",
    "algorithms: [HS256]": '4:18: issuers[0].algorithms[0]: "HS256" signs with a shared secret, '
    "which is never accepted; expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, "
    "ES384, ES512, EdDSA, Ed25519",
    "algorithms: [none]": '4:18: issuers[0].algorithms[0]: "none" is not supported; expected one '
    "of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519",
    "algorithms: []": "4:17: issuers[0].algorithms: found an empty list; expected at least one "
    "entry",
    "algorithms: *nope": "4:17: issuers[0].algorithms: alias *nope is unknown; expected an anchor "
    '&nope above, or text in quotes: "*nope"',
    "leeway: !!int 1s": '4:13: issuers[0].leeway: "1s" does not fit its tag !!int',
    "algorithms: {RS256: }": "4:17: issuers[0].algorithms: found a mapping; expected a list, each "
    'entry after a "- "',
    "algorithms: RS256": '4:17: issuers[0].algorithms: found "RS256"; expected a list',
    "token_types: ['']": '4:19: issuers[0].token_types[0]: "" is not a token type; expected a '
    "JOSE typ such as at+jwt or JWT",
    "audience_claim: /a~2": '4:21: issuers[0].audience_claim: "/a~2" names no claim (in a JSON '
    "Pointer '~' is written '~0' and '/' is written '~1'); expected a claim's name or a JSON "
    "Pointer such as /realm_access/roles",
    "required_claims: {a: null}": "4:26: issuers[0].required_claims.a: found nothing; expected "
    "text, a number, true or false, or a list of such",
    "required_claims: {a: []}": "4:26: issuers[0].required_claims.a: found an empty list; "
    "expected at least one value that would do",
    "required_claims: {a: [1, .nan]}": "4:30: issuers[0].required_claims.a[1]: found the number "
    "nan, which no claim equals; expected a number that a token can hold",
    "required_claims: {a: {b: c}}": "4:26: issuers[0].required_claims.a: found a mapping; "
    "expected text, a number, true or false, or a list of such",
    "leeway: 30": "4:13: issuers[0].leeway: found the number 30; expected a duration such as "
    "500ms, 30s, 10m or 24h",
    "allow_http_hosts: ['a:80']": '4:24: issuers[0].allow_http_hosts[0]: "a:80" is not a host; '
    "expected one exact host, without scheme and port",
    "keys: {refresh: 0s}": '4:21: issuers[0].keys.refresh: "0s" is out of range; expected '
    "1s to 24h",
    "keys: {refesh: 1s}": "4:12: issuers[0].keys.refesh: unknown key; expected refresh?",
}

SERVER = {
    "binding: {}": "6:5: servers[0].binding: reserved for a later version; expected it to be "
    "absent",
    "title: ''": '6:12: servers[0].title: "" is empty or holds a control character; expected plain '
    "text",
    "match: {hosts: []}": "6:20: servers[0].match.hosts: found an empty list; expected at least "
    "one entry",
    "match: {hosts: ['a b']}": '6:21: servers[0].match.hosts[0]: "a b" is not a host; expected a '
    "host such as mcp.example.com, with :port if it counts; or *.suffix, or *",
    "match: {paths: [a]}": '6:21: servers[0].match.paths[0]: "a" is not a plain path; expected an '
    "absolute path without query, star, //, dot segments or ;",
    "match: {paths: [/a%62]}": '6:21: servers[0].match.paths[0]: "/a%62" escapes characters '
    "without need; expected /ab",
    "match: {paths: ['/a*']}": '6:21: servers[0].match.paths[0]: "/a*" is not a plain path; '
    "expected an absolute path without query, star, //, dot segments or ;",
    "issuers: [x]": '6:15: servers[0].issuers[0]: "x" is no issuer of this file; expected one of '
    "a.example",
    "issuers: []": "6:14: servers[0].issuers: found an empty list; expected names or URLs of "
    'issuers, or "*" for all of them',
    "issuers: ['*', a.example]": '6:14: servers[0].issuers: "*" stands beside other entries; '
    'expected either "*" or a list without it',
    "scopes: [a b]": '6:14: servers[0].scopes[0]: "a b" is not a scope; expected one scope: '
    "visible ASCII without space, double quote or backslash",
    "scopes: a": '6:13: servers[0].scopes: found "a"; expected a list',
    "tools: [a]": "6:12: servers[0].tools: found a list; expected a mapping of keys to values such "
    "as add: allow",
    "resources: [a]": "6:16: servers[0].resources: found a list; expected a mapping of keys to "
    'values such as "file:///docs/*": allow',
    "tools: add:deny": '6:12: servers[0].tools: found "add:deny"; expected a blank after add:',
    "tools: http://x": '6:12: servers[0].tools: found "http://x"; expected a mapping of keys to '
    "values",
    "audiences: 'https://${AUD:-secret}/'": "6:16: servers[0].audiences: ${AUD} is not replaced in "
    "a configuration; expected the value itself, put in before it is read (envsubst, Helm)",
    "tools:": "6:11: servers[0].tools: found nothing; expected a mapping of keys to values",
    "tools: {a: yes}": '6:16: servers[0].tools.a: found "yes"; expected allow, deny, a list of '
    "scopes, or {scopes: , any_scopes: , claims: }",
    "tools: {a: [1]}": "6:17: servers[0].tools.a[0]: found the number 1; expected text, in quotes "
    "if it looks like something else",
    "token: keep": "6:5: servers[0].token: unknown key here; expected at servers[].forward",
    "issuer: corp": "6:5: servers[0].issuer: unknown key; expected issuers?",
    "any_scopes: [a]": "6:5: servers[0].any_scopes: unknown key here; expected at "
    "servers[].tools.* or servers[].prompts.* or servers[].resources.* or servers[].methods.*",
    "tools: {a: {encode: json}}": "6:17: servers[0].tools.a.encode: unknown key here; expected at "
    "servers[].forward.headers.*",
    "tools: {a: {scope: [b]}}": "6:17: servers[0].tools.a.scope: unknown key; expected scopes?",
    "tools: {a: {when: x}}": "6:17: servers[0].tools.a.when: reserved for a later version; "
    "expected it to be absent",
    "tools: {a: {any_scopes: []}}": "6:29: servers[0].tools.a.any_scopes: found an empty list; "
    "expected at least one entry",
    "tools: {a: {claims: {'': 1}}}": '6:26: servers[0].tools.a.claims[""]: "" names no claim (a '
    "claim name must not be empty); expected a claim's name or a JSON Pointer such as "
    "/realm_access/roles",
    "tools: {'': deny}": '6:13: servers[0].tools[""]: the key "" cannot match; expected 1 to 512 '
    "characters",
    "tools: {a*: deny, '*a': allow}": '6:23: servers[0].tools["*a"]: ties with "a*": a name can '
    "match both, and neither is longer; expected one of them to be more exact",
    "methods: {tools/call: deny}": '6:15: servers[0].methods["tools/call"]: tools/call is ruled '
    "by tools; expected rules for it there",
    "methods: {ping: deny}": "6:15: servers[0].methods.ping: ping needs the server's scopes only; "
    "expected no rule for it",
    "scope_implies: {a: b}": '6:24: servers[0].scope_implies.a: found "b"; expected a list',
    "header_versions: [draft]": '6:23: servers[0].header_versions[0]: "draft" is not a version of '
    "MCP; expected a date such as 2026-07-28",
    "unverified_calls: allow": '6:23: servers[0].unverified_calls: found "allow"; expected one of '
    "deny, allow_without_rules",
    "public_paths: [/y]": '6:20: servers[0].public_paths[0]: "/y" lies outside match; expected a '
    "path inside /x",
    "public_paths: [/xy]": '6:20: servers[0].public_paths[0]: "/xy" lies outside match; expected '
    "a path inside /x",
    "public_paths: [x]": '6:20: servers[0].public_paths[0]: "x" is not a plain path; expected an '
    "absolute path without query, star, //, dot segments or ;",
    "public_paths: ['/x/*/y']": '6:20: servers[0].public_paths[0]: "/x/*/y" is not a plain path; '
    "expected an absolute path without query, star, //, dot segments or ;",
    "public_paths: ['/x*']": '6:20: servers[0].public_paths[0]: "/x*" is not a plain path; '
    "expected an absolute path without query, star, //, dot segments or ;",
    "origins: [https://a.example/]": '6:15: servers[0].origins[0]: "https://a.example/" is not '
    "how a browser writes it; expected https://a.example",
    "origins: ['https://a.example:443']": '6:15: servers[0].origins[0]: "https://a.example:443" '
    "is not how a browser writes it; expected https://a.example",
    "origins: ['null']": '6:15: servers[0].origins[0]: "null" is not an origin; expected an '
    'origin such as https://app.example.com, or "*"',
    "upstream: calculator:8000": '6:15: servers[0].upstream: "calculator:8000" is not an http(s) '
    "URL; expected an absolute URL such as https://host/path",
    "forward: {headers: {X-Email: email}}": '6:25: servers[0].forward.headers.X-Email: "X-Email" '
    "is not a header name; expected a lower-case name such as x-user-email",
    "forward: {headers: {x-email: {}}}": "6:34: servers[0].forward.headers.x-email.claim: "
    "missing; expected the claim, by name or JSON Pointer",
    "forward: {headers: {x-e: 1}}": "6:30: servers[0].forward.headers.x-e: found the number 1; "
    "expected a claim's name, or {claim: , encode: }",
    "forward: {headers: {x-e: e, x_e: e}}": "6:33: servers[0].forward.headers.x_e: a backend may "
    'read it as "x-e"; expected names that differ in words',
    "forward: {token: exchange}": '6:22: servers[0].forward.token: "exchange" is reserved for a '
    "later version; expected strip or keep",
    "forward: {assertion: {}}": "6:15: servers[0].forward.assertion: reserved for a later "
    "version; expected it to be absent",
    "forward: {stream_lease: on}": '6:29: servers[0].forward.stream_lease: found "on"; expected '
    "one of off, token",
    "mode: dry-run": '6:11: servers[0].mode: found "dry-run"; expected one of enforce, audit',
}


@pytest.mark.parametrize(("line", "problem"), TOP.items(), ids=list(TOP))
def test_top_level(desk: Desk, line: str, problem: str) -> None:
    assert desk.problems(SERVERS + line + "\n") == [problem]


@pytest.mark.parametrize(("line", "problem"), ISSUER.items(), ids=list(ISSUER))
def test_issuers(desk: Desk, line: str, problem: str) -> None:
    assert desk.problems(at_issuer(line)) == [problem]


@pytest.mark.parametrize(("line", "problem"), SERVER.items(), ids=list(SERVER))
def test_servers(desk: Desk, line: str, problem: str) -> None:
    assert desk.problems(at_server(line)) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "issuers: []\nservers: []",
            "1:1: version: missing; expected the version of this format, which is 1",
        ),
        ("version: 2", "1:10: version: found the number 2; expected 1, the only version there is"),
        (
            "version: 1.0",
            ("1:10: version: found the number 1.0; expected 1, the only version there is"),
        ),
        (
            'version: "1"',
            '1:10: version: found the text "1"; expected the number 1, without quotes',
        ),
        ('version: "2"', '1:10: version: found "2"; expected 1, the only version there is'),
        ("version: true", "1:10: version: found true; expected 1, the only version there is"),
        ("version: 1", "1:1: issuers: missing; expected the issuers whose tokens are taken"),
        ("version: 1", "1:1: servers: missing; expected the protected MCP servers"),
        ("issuers: []", "1:10: issuers: no issuer; expected at least one, whose tokens are taken"),
        (
            "servers: []",
            ("1:10: servers: no server; expected at least one, which is to be protected"),
        ),
        (
            "issuers: [1]",
            ("1:11: issuers[0]: found the number 1; expected a mapping of keys to values"),
        ),
        (
            "issuers: ['issuer:https://x.example/y']",
            (
                '1:11: issuers[0]: found "issuer:https://x.example/y"; expected a blank after '
                "issuer:"
            ),
        ),
        (
            "issuers: ['https://x.example/y']",
            ('1:11: issuers[0]: found "https://x.example/y"; expected a mapping of keys to values'),
        ),
        (
            "servers: [{}]",
            (
                "1:11: servers[0].resource: missing; expected its public URL, which is "
                "also the RFC 8707 resource and the default audience"
            ),
        ),
    ],
)
def test_what_a_file_must_have(desk: Desk, text: str, problem: str) -> None:
    assert problem in desk.problems(text)
