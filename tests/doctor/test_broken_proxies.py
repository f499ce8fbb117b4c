"""Each setting of a proxy, broken in turn, is named by doctor, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.doctor.catalogue import Code
from extauthz.doctor.edge import Edge, Wire
from extauthz.doctor.findings import Report
from extauthz.doctor.telling import table
from extauthz.doctor.upgrades import HTTP2
from tests.doctor.breaking import Broken, broken, ext_authz, instead, manager, routes, without
from tests.doctor.clinic import Clinic
from tests.doctor.provoked import named, provokes
from tests.e2e.processes import free_port
from tests.e2e.scene import Service, with_bodies
from tests.generate.edges import caddy_with_http2

pytestmark = pytest.mark.e2e

# ---- nginx --------------------------------------------------------------------------------

_ANSWER = "proxy_pass http://extauthz_http"
_METADATA = f"{_ANSWER}/.well-known/oauth-protected-resource;"
_PREFLIGHT = "rewrite ^ /_extauthz_preflight$uri last;"
_OPEN_PREFLIGHT = """
  add_header Access-Control-Allow-Origin *;
  add_header Access-Control-Allow-Headers "authorization, content-type";
  return 204;
"""
_READS_TOKENS = """
map $http_authorization $read_token {
  default              $http_authorization;
  "~^(Bearer [^,]+)"   $1;
  ""                   $http_x_authorization;
}
upstream extauthz_http {"""

_NO_CONNECTION = 'proxy_set_header Connection        "";'
_EVERY_CONNECTION = """
proxy_set_header Connection      $http_connection;
proxy_set_header Upgrade         $http_upgrade;
proxy_set_header HTTP2-Settings  $http_http2_settings;
"""

NGINX = broken(
    {
        "an identity header is not overwritten": Broken(
            "nginx",
            "token",
            (Code.SPOOF_ARRIVES, Code.IDENTITY_MISSING),
            without(r"proxy_set_header X-Auth-Subject"),
        ),
        "the question is not asked": Broken(
            "nginx", "walk", (Code.OPEN_WITHOUT_TOKEN,), without(r"^auth_request /_extauthz")
        ),
        "the token is passed on": Broken(
            "nginx", "token", (Code.TOKEN_ARRIVES,), without(r"proxy_set_header Authorization")
        ),
        "the metadata has no location": Broken(
            "nginx", "walk", (Code.METADATA_MISSING, Code.NOT_A_404), without(_METADATA)
        ),
        "the metadata is not for browsers": Broken(
            "nginx",
            "walk",
            (Code.METADATA_CLOSED,),
            instead((_METADATA, f"{_METADATA} proxy_hide_header Access-Control-Allow-Origin;")),
        ),
        "headers are not exposed to browsers": Broken(
            "nginx",
            "walk",
            (Code.CORS_NOT_EXPOSED,),
            without(r"add_header Access-Control-Expose-Headers"),
        ),
        "bodies of refusals are lost": Broken(
            "nginx", "walk", (Code.REFUSAL_LOST,), without(r"error_page 40[13]")
        ),
        "long headers are refused": Broken(
            "nginx", "intruder", (Code.LONG_TOKEN_LOST,), without(r"large_client_header_buffers")
        ),
        "preflights are asked about": Broken(
            "nginx", "walk", (Code.PREFLIGHT_REFUSED,), without(r"rewrite \^ /_extauthz_preflight")
        ),
        "preflights are answered by nginx": Broken(
            "nginx", "walk", (Code.PREFLIGHT_OPEN,), instead((_PREFLIGHT, _OPEN_PREFLIGHT))
        ),
        "the original host is not told": Broken(
            "nginx", "walk", (Code.UNEXPECTED_REFUSAL,), without(r"X-Original-Host")
        ),
        "the server has another name": Broken(
            "nginx", "walk", (Code.NO_SERVER,), instead(("$mcp_server notes;", "$mcp_server note;"))
        ),
        "somebody answers at /register": Broken(
            "nginx", "walk", (Code.NOT_A_404,), instead((f"{_ANSWER}/register;", "return 200 ok;"))
        ),
        "a site on the same host": Broken(
            "nginx", "walk", (Code.UNOWNED_PATHS,), instead(("return 404 '{", "return 200 '{"))
        ),
        "tokens are picked by nginx": Broken(
            "nginx",
            "token",
            (Code.TWO_TOKENS_TAKEN, Code.STRAY_TOKEN_TAKEN),
            instead(
                ("upstream extauthz_http {", _READS_TOKENS),
                ("/auth/nginx;", "/auth/nginx; proxy_set_header Authorization $read_token;"),
            ),
        ),
        "requests become connections": Broken(
            "nginx", "token", (Code.UPGRADE_TAKEN,), instead((_NO_CONNECTION, _EVERY_CONNECTION))
        ),
        # Whoever asks from another address than the proxy's own is nobody.
        "the proxy is not trusted": Broken(
            "nginx",
            "walk",
            (Code.UNTRUSTED_PROXY,),
            instead(("/auth/nginx;", "/auth/nginx; proxy_bind 127.0.0.2;")),
        ),
    }
)

# ---- Envoy --------------------------------------------------------------------------------


def _no_question(document: dict[str, Any]) -> None:
    for route in routes(document):
        if route["name"] == "notes":
            override = route["typed_per_filter_config"]["envoy.filters.http.ext_authz"]
            override.pop("check_settings", None)
            override["disabled"] = True


def _no_catch_all(document: dict[str, Any]) -> None:
    del routes(document)[-1]


def _no_mutations(document: dict[str, Any]) -> None:
    """As if a name that extauthz sets were not listed."""
    rules = ext_authz(document)["decoder_header_mutation_rules"]
    rules["allow_expression"]["regex"] = "x-auth-(subject|issuer)|authorization"


def _no_stripping(document: dict[str, Any]) -> None:
    """The bare configuration, over HTTP: extauthz is not shown what it should remove."""
    del manager(document)["early_header_mutation_extensions"]
    del manager(document)["common_http_protocol_options"]
    patterns = ext_authz(document)["allowed_headers"]["patterns"]
    patterns[:] = [each for each in patterns if "safe_regex" not in each]


def _origin_hidden(document: dict[str, Any]) -> None:
    patterns = ext_authz(document)["allowed_headers"]["patterns"]
    patterns.remove({"exact": "origin"})


def _form_hidden(document: dict[str, Any]) -> None:
    """The message is shown, and what kind of text it is is not."""
    with_bodies(document)
    patterns = ext_authz(document)["allowed_headers"]["patterns"]
    patterns.remove({"exact": "content-type"})


def _message_hidden(document: dict[str, Any]) -> None:
    """The MCP filter alone tells of the message."""
    del ext_authz(document)["with_request_body"]


def _upgrades(document: dict[str, Any]) -> None:
    manager(document)["upgrade_configs"] = [{"upgrade_type": "websocket"}]


ENVOY = broken(
    {
        "a route is not asked about": Broken(
            "envoy", "walk", (Code.OPEN_WITHOUT_TOKEN, Code.PREFLIGHT_REFUSED), change=_no_question
        ),
        "the catch-all is missing": Broken(
            "envoy", "walk", (Code.METADATA_MISSING,), change=_no_catch_all
        ),
        "mutation rules lack a name": Broken(
            "envoy", "token", (Code.EDGE_BREAKS,), change=_no_mutations
        ),
        "look-alikes are not stripped": Broken(
            "envoy-http", "token", (Code.SPOOF_ARRIVES,), change=_no_stripping
        ),
        "the origin is not shown": Broken(
            "envoy-http",
            "walk",
            (Code.ORIGIN_NOT_JUDGED, Code.CORS_NOT_EXPOSED),
            change=_origin_hidden,
        ),
        "the charset is not shown": Broken(
            "envoy-http",
            "token",
            (Code.CHARSET_TAKEN,),
            change=_form_hidden,
            server="calculator",
        ),
        "the message is not shown": Broken(
            "envoy-mcp",
            "token",
            (Code.CASE_TAKEN,),
            change=_message_hidden,
            server="calculator",
        ),
        "requests become WebSockets": Broken(
            "envoy-mcp",
            "token",
            (Code.UPGRADE_TAKEN,),
            change=_upgrades,
            server="calculator",
        ),
    }
)

# ---- Caddy and HAProxy --------------------------------------------------------------------

_UPGRADES_ELSEWHERE = """
  acl upgrades req.hdr(upgrade) -m found
  use_backend notes if upgrades
"""

OTHERS = broken(
    {
        "caddy keeps the client's Connection": Broken(
            "caddy",
            "token",
            (Code.IDENTITY_DROPPED, Code.UPGRADE_TAKEN),
            without(r"request_header -Connection"),
        ),
        "caddy keeps the client's identity headers": Broken(
            "caddy",
            "token",
            (Code.SPOOF_ARRIVES, Code.IDENTITY_MISSING),
            without(r"request_header -X-Auth-\*", r"x_auth_subject"),
        ),
        "caddy lets preflights reach the doors": Broken(
            "caddy", "intruder", (Code.DOOR_EXPOSED,), without(r"not path /auth/")
        ),
        "haproxy lets requests pass unasked": Broken(
            "haproxy",
            "walk",
            (Code.NO_ROUTE,),
            without(r"http-request lua\.extauthz", r"use_backend notes"),
        ),
        "haproxy lets upgrades pass unasked": Broken(
            "haproxy",
            "intruder",
            (Code.OPEN_WITHOUT_TOKEN,),
            instead(
                ("  http-request del-header connection\n", ""),
                ("  http-request del-header upgrade\n", _UPGRADES_ELSEWHERE),
                ("lua.extauthz unless {", "lua.extauthz unless upgrades or {"),
            ),
        ),
        "haproxy has small buffers": Broken(
            "haproxy", "intruder", (Code.LONG_TOKEN_LOST,), without(r"tune\.")
        ),
        "haproxy strips no look-alikes": Broken(
            "haproxy", "token", (Code.SPOOF_ARRIVES,), without(r"del-header \^x")
        ),
        "haproxy keeps the challenge for itself": Broken(
            "haproxy", "walk", (Code.NO_CHALLENGE,), instead(('"www-authenticate",', ""))
        ),
    }
)


@pytest.mark.parametrize("case", [*NGINX, *ENVOY, *OTHERS])
def test_a_broken_setting(open_clinic: Clinic, case: str) -> None:
    one = {**NGINX, **ENVOY, **OTHERS}[case]
    service = open_clinic.service
    if Code.UNTRUSTED_PROXY in one.codes:
        service = open_clinic.another(open_clinic.config())
    with open_clinic.edge(one.proxy, service=service, edit=one.edit, change=one.change):
        named(open_clinic.examine(one.server, parts=[one.part]), one.codes)


@pytest.mark.parametrize("path", ["/calculator/mcp", "/calculator/mcp/ws", "/calculator/ws"])
def test_a_websocket_is_looked_for_where_servers_have_one(
    open_clinic: Clinic, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(open_clinic.servers["calculator"], "socket", path)
    with open_clinic.edge("envoy-mcp", change=_upgrades):
        report = open_clinic.examine("calculator", parts=["token"])
    assert [finding.seen for finding in report.findings] == [
        [f"GET {path} with Upgrade: websocket: 101"]
    ]


@pytest.mark.parametrize(
    ("proxy", "adds", "seen"),
    [
        ("haproxy", True, ["trailers", "announced trailers"]),
        ("haproxy", False, []),
        ("envoy-mcp", True, []),
    ],
)
def test_trailers_are_told_where_they_arrive_as_headers(
    open_clinic: Clinic, monkeypatch: pytest.MonkeyPatch, proxy: str, adds: bool, seen: list[str]
) -> None:
    """Some web servers add them, and some proxies pass them on."""
    monkeypatch.setattr(open_clinic.servers["notes"], "adds_trailers", adds)
    with open_clinic.edge(proxy, edit=without(r"http-drop-request-trailers")):
        report = open_clinic.examine("notes", parts=["token"])
    assert [(finding.code, finding.seen) for finding in report.findings] == (
        [(Code.SPOOF_ARRIVES, [f"{kind} after a chunked body" for kind in seen])] if seen else []
    )


def test_an_edge_that_speaks_http2_itself_is_not_blamed(open_clinic: Clinic) -> None:
    with open_clinic.edge("caddy", edit=caddy_with_http2):
        assert Wire(Edge(url=open_clinic.url("notes"))).send("GET", "/", HTTP2).status == 101
        report = open_clinic.examine("notes", parts=["intruder", "token"])
    assert not report.findings, table(report)


def nobody(clinic: Clinic) -> Service:
    return Service(free_port(), free_port(), free_port(), clinic.folder)


@provokes(Code.OPEN_WITHOUT_TOKEN, Code.METADATA_MISSING, Code.PREFLIGHT_REFUSED)
def test_failure_mode_allow_while_extauthz_is_down(open_clinic: Clinic) -> Report:
    def change(document: dict[str, Any]) -> None:
        ext_authz(document)["failure_mode_allow"] = True

    with open_clinic.edge("envoy", service=nobody(open_clinic), change=change):
        return open_clinic.examine("notes", parts=["walk"])


@pytest.mark.parametrize("proxy", ["envoy", "nginx"])
@provokes(Code.NO_ANSWER)
def test_extauthz_is_down(open_clinic: Clinic, proxy: str) -> Report:
    with open_clinic.edge(proxy, service=nobody(open_clinic)):
        return open_clinic.examine("notes")


@provokes(Code.UNREACHABLE)
def test_nobody_is_there(open_clinic: Clinic) -> Report:
    return open_clinic.examine("notes")


@provokes(Code.PLAIN_HTTP, Code.METADATA_WRONG)
def test_tokens_cross_a_network_in_the_clear(open_clinic: Clinic) -> Report:
    with open_clinic.edge("nginx"):
        return open_clinic.examine("notes", host="mcp.example.com", parts=["walk"])
