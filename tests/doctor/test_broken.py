"""Each setting, broken in turn, is named by doctor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from extauthz.demo.answers import Fault
from extauthz.doctor.catalogue import Code
from extauthz.doctor.examine import Part
from extauthz.doctor.findings import Report
from extauthz.doctor.telling import table
from tests.doctor.clinic import RULES, Clinic
from tests.doctor.mcp_server import McpServer, running
from tests.e2e.processes import free_port
from tests.e2e.scene import Service
from tests.generate.edges import Edit

pytestmark = pytest.mark.e2e


def without(*lines: str, file: str = "") -> Edit:
    """Takes every line that matches one of these patterns out of the files, or out of one."""
    taken: list[str] = []

    def edit(name: str, text: str) -> str:
        if file not in ("", name):
            return text
        kept = []
        for line in text.splitlines():
            if any(re.search(pattern, line) for pattern in lines):
                taken.append(line)
            else:
                kept.append(line)
        return "\n".join(kept) + "\n"

    return edit


def manager(document: dict[str, Any]) -> Any:
    listener = document["static_resources"]["listeners"][0]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def ext_authz(document: dict[str, Any]) -> Any:
    (found,) = (
        each["typed_config"]
        for each in manager(document)["http_filters"]
        if each["name"] == "envoy.filters.http.ext_authz"
    )
    return found


def routes(document: dict[str, Any]) -> Any:
    return manager(document)["route_config"]["virtual_hosts"][0]["routes"]


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


def named(report: Report, *wanted: Code) -> None:
    assert set(wanted) <= codes(report), table(report)
    assert not report.healthy


# ---- nginx: lines taken out ---------------------------------------------------------------

NGINX: dict[str, tuple[list[str], Part, list[Code]]] = {
    "an identity header is not overwritten": (
        [r"proxy_set_header X-Auth-Subject"],
        "token",
        [Code.SPOOF_ARRIVES, Code.IDENTITY_MISSING],
    ),
    "the question is not asked": ([r"^auth_request /_extauthz"], "walk", [Code.OPEN_WITHOUT_TOKEN]),
    "the token is passed on": ([r"proxy_set_header Authorization"], "token", [Code.TOKEN_ARRIVES]),
    "the metadata has no location": (
        [r"proxy_pass http://extauthz_http/.well-known/oauth-protected-resource"],
        "walk",
        [Code.METADATA_MISSING],
    ),
    "headers are not exposed to browsers": (
        [r"add_header Access-Control-Expose-Headers"],
        "walk",
        [Code.CORS_NOT_EXPOSED],
    ),
    "bodies of refusals are lost": ([r"error_page 40[13]"], "walk", [Code.REFUSAL_LOST]),
    "long headers are refused": (
        [r"large_client_header_buffers"],
        "intruder",
        [Code.LONG_TOKEN_LOST],
    ),
    "preflights are asked about": (
        [r"rewrite \^ /_extauthz_preflight"],
        "walk",
        [Code.PREFLIGHT_REFUSED],
    ),
    "the original host is not told": ([r"X-Original-Host"], "walk", [Code.UNEXPECTED_REFUSAL]),
}


@pytest.mark.parametrize("case", NGINX)
def test_a_line_missing_in_nginx(open_clinic: Clinic, case: str) -> None:
    lines, part, wanted = NGINX[case]
    with open_clinic.edge("nginx", edit=without(*lines)):
        named(open_clinic.examine("notes", parts=[part]), *wanted)


def test_nginx_names_a_server_that_extauthz_does_not_know(open_clinic: Clinic) -> None:
    def edit(_: str, text: str) -> str:
        return text.replace("set $mcp_server notes;", "set $mcp_server note;")

    with open_clinic.edge("nginx", edit=edit):
        named(open_clinic.examine("notes", parts=["walk"]), Code.NO_SERVER)


# ---- Envoy: settings changed --------------------------------------------------------------


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


ENVOY: dict[str, tuple[str, Callable[[dict[str, Any]], None], Part, Code]] = {
    "a route is not asked about": ("envoy", _no_question, "walk", Code.OPEN_WITHOUT_TOKEN),
    "the catch-all is missing": ("envoy", _no_catch_all, "walk", Code.METADATA_MISSING),
    "mutation rules lack a name": ("envoy", _no_mutations, "token", Code.EDGE_BREAKS),
    "look-alikes are not stripped": ("envoy-http", _no_stripping, "token", Code.SPOOF_ARRIVES),
    "the origin is not shown": ("envoy-http", _origin_hidden, "walk", Code.ORIGIN_NOT_JUDGED),
}


@pytest.mark.parametrize("case", ENVOY)
def test_a_setting_changed_in_envoy(open_clinic: Clinic, case: str) -> None:
    proxy, change, part, wanted = ENVOY[case]
    with open_clinic.edge(proxy, change=change):
        named(open_clinic.examine("notes", parts=[part]), wanted)


def test_failure_mode_allow_while_extauthz_is_down(open_clinic: Clinic) -> None:
    def change(document: dict[str, Any]) -> None:
        ext_authz(document)["failure_mode_allow"] = True

    nobody = Service(free_port(), free_port(), free_port(), open_clinic.folder)
    with open_clinic.edge("envoy", service=nobody, change=change):
        named(open_clinic.examine("notes", parts=["walk"]), Code.OPEN_WITHOUT_TOKEN)


@pytest.mark.parametrize("proxy", ["envoy", "nginx"])
def test_extauthz_is_down(open_clinic: Clinic, proxy: str) -> None:
    nobody = Service(free_port(), free_port(), free_port(), open_clinic.folder)
    with open_clinic.edge(proxy, service=nobody):
        named(open_clinic.examine("notes"), Code.NO_ANSWER)


def test_nobody_is_there(open_clinic: Clinic) -> None:
    named(open_clinic.examine("notes"), Code.UNREACHABLE)


@contextmanager
def slow_keys(clinic: Clinic) -> Iterator[Service]:
    """An extauthz whose issuer takes half a second for its keys, after the first time."""
    with clinic.another(clinic.config()) as service:
        clinic.issuer.faults["keys"], clinic.issuer.delay = Fault.SLOW, 0.5
        try:
            yield service
        finally:
            del clinic.issuer.faults["keys"]


@pytest.mark.parametrize("proxy", ["envoy", "nginx", "haproxy"])
def test_a_timeout_shorter_than_the_wait_for_keys(open_clinic: Clinic, proxy: str) -> None:
    """With the timeouts that are shipped the same wait is no finding."""

    def change(document: dict[str, Any]) -> None:
        ext_authz(document)["grpc_service"]["timeout"] = "0.1s"

    def edit(_: str, text: str) -> str:
        text = text.replace("proxy_read_timeout 1s", "proxy_read_timeout 100ms")
        return text.replace("TIMEOUT_MS = 1000", "TIMEOUT_MS = 40")

    short: dict[str, Any] = {"change": change} if proxy == "envoy" else {"edit": edit}
    for spoiled, healthy in (({}, True), (short, False)):
        with slow_keys(open_clinic) as service, ExitStack() as stack:
            stack.enter_context(open_clinic.edge(proxy, service=service, **spoiled))
            report = open_clinic.examine("notes", token=None, parts=["intruder"])
            found = {code for code in codes(report) if code is not Code.ISSUER_KEYS}
        assert found == (set() if healthy else {Code.TIMEOUT_TOO_SHORT}), table(report)


# ---- extauthz: another inventory than the clients' -----------------------------------------


def examined(
    clinic: Clinic, proxy: str = "envoy", *, server: str = "notes", **changes: Any
) -> Report:
    token, parts = changes.pop("token", ""), changes.pop("parts", ["walk", "token"])
    config = clinic.config(**changes)
    with clinic.another(config) as service, clinic.edge(proxy, service=service):
        return clinic.examine(server, config=config, token=token, parts=parts)


def test_the_audience_is_wrong(open_clinic: Clinic) -> None:
    audience = open_clinic.url("notes").removesuffix("/mcp")
    report = examined(open_clinic, notes={"audiences": [audience]})
    named(report, Code.TOKEN_AUDIENCE)
    assert open_clinic.url("notes") in table(report)


def test_the_issuers_slash_is_wrong(open_clinic: Clinic) -> None:
    issuer = {"issuer": open_clinic.issuer.url + "/", "jwks_uri": open_clinic.issuer.jwks_uri}
    report = examined(open_clinic, issuer=issuer)
    named(report, Code.ISSUER_MISMATCH, Code.TOKEN_ISSUER)
    assert "final slash" in table(report)


def test_the_resource_is_not_what_clients_use(open_clinic: Clinic) -> None:
    wrong = {"resource": open_clinic.url("notes") + "/", "audiences": [open_clinic.url("notes")]}
    named(examined(open_clinic, notes=wrong), Code.METADATA_WRONG)


def test_the_proxy_is_not_trusted(open_clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTAUTHZ_LISTEN_TRUSTED_PROXIES", "10.0.0.0/8")
    named(examined(open_clinic, "nginx"), Code.UNTRUSTED_PROXY)


def test_the_token_lacks_a_scope(open_clinic: Clinic) -> None:
    token = open_clinic.token("notes", scope="other")
    report = examined(open_clinic, token=token)
    named(report, Code.TOKEN_SCOPE)
    assert token not in table(report)


def test_the_token_has_expired(open_clinic: Clinic) -> None:
    named(examined(open_clinic, token=open_clinic.token("notes", ttl=-600)), Code.TOKEN_EXPIRED)


def test_a_token_of_one_server_opens_another(open_clinic: Clinic) -> None:
    """The file names audiences of their own; the running service has another idea."""
    shared = [open_clinic.url("notes"), open_clinic.url("calculator")]
    running_config = open_clinic.config(calculator={"audiences": shared, "tools": {}, "scopes": []})
    with (
        open_clinic.another(running_config) as service,
        open_clinic.edge("envoy", service=service),
    ):
        named(open_clinic.examine("notes", parts=["token"]), Code.TOKEN_ELSEWHERE)


# ---- rules for calls ------------------------------------------------------------------------


def test_the_message_is_not_shown(open_clinic: Clinic) -> None:
    """Rules for tools behind an Envoy without its MCP filter: every POST is refused."""
    with open_clinic.edge("envoy"):
        named(open_clinic.examine("calculator", parts=["token"]), Code.CALLS_NOT_SHOWN)


def test_calls_pass_without_rules(open_clinic: Clinic) -> None:
    report = examined(
        open_clinic, server="calculator", calculator={"unverified_calls": "allow_without_rules"}
    )
    named(report, Code.RULES_NOT_ENFORCED, Code.BATCH_TAKEN)
    assert set(open_clinic.servers["calculator"].called) <= {
        "get_me",
        "danger_extauthz_doctor",
        "extauthz_doctor",
    }


@pytest.mark.parametrize("compares", [True, False])
def test_header_versions_of_a_server_that_does_not_compare(
    open_clinic: Clinic, compares: bool
) -> None:
    config = open_clinic.config(calculator={"header_versions": ["2026-07-28"], "tools": RULES})
    with running(McpServer(compares=compares)) as server, ExitStack() as stack:
        kept = open_clinic.servers["calculator"]
        stack.callback(open_clinic.servers.__setitem__, "calculator", kept)
        open_clinic.servers["calculator"] = server
        service = stack.enter_context(open_clinic.another(config))
        stack.enter_context(open_clinic.edge("nginx", service=service))
        report = open_clinic.examine("calculator", config=config, parts=["token"])
    assert codes(report) == (set() if compares else {Code.HEADERS_BELIEVED}), table(report)


# ---- Caddy and HAProxy ----------------------------------------------------------------------

OTHERS: dict[str, tuple[str, list[str], Part, list[Code]]] = {
    "caddy keeps the client's Connection": (
        "caddy",
        [r"request_header -Connection"],
        "token",
        [Code.IDENTITY_DROPPED],
    ),
    "caddy keeps the client's identity headers": (
        "caddy",
        [r"request_header -X-Auth-\*", r"x_auth_subject"],
        "token",
        [Code.SPOOF_ARRIVES],
    ),
    "haproxy lets requests pass unasked": (
        "haproxy",
        [r"http-request lua\.extauthz", r"use_backend notes"],
        "walk",
        [Code.NO_ROUTE],
    ),
    "haproxy has small buffers": ("haproxy", [r"tune\."], "intruder", [Code.LONG_TOKEN_LOST]),
    "haproxy strips no look-alikes": (
        "haproxy",
        [r"del-header \^x"],
        "token",
        [Code.SPOOF_ARRIVES],
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_line_missing_in_others(open_clinic: Clinic, case: str) -> None:
    proxy, lines, part, wanted = OTHERS[case]
    with open_clinic.edge(proxy, edit=without(*lines)):
        named(open_clinic.examine("notes", parts=[part]), *wanted)


def test_a_challenge_that_is_not_passed_on(open_clinic: Clinic) -> None:
    def edit(_: str, text: str) -> str:
        return text.replace('"vary", "www-authenticate",', '"vary",')

    with open_clinic.edge("haproxy", edit=edit):
        named(open_clinic.examine("notes", parts=["walk"]), Code.NO_CHALLENGE)


def test_preflights_that_reach_the_doors_of_extauthz(open_clinic: Clinic) -> None:
    with open_clinic.edge("caddy", edit=without(r"not path /auth/")):
        named(open_clinic.examine("notes", parts=["intruder"]), Code.DOOR_EXPOSED)
