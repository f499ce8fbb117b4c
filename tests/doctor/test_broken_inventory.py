"""What is wrong with the file, the issuer, the token or the rules is named by doctor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from extauthz.demo.issuer import Fault
from extauthz.doctor.catalogue import Code
from extauthz.doctor.findings import Report
from extauthz.doctor.telling import table
from tests.doctor import odd_edges
from tests.doctor.breaking import Change, ext_authz, instead
from tests.doctor.clinic import RULES, Clinic
from tests.doctor.mcp_server import McpServer, running
from tests.doctor.provoked import named, provokes
from tests.e2e.processes import answers, free_port, program
from tests.e2e.scene import Service
from tests.generate.edges import Edit

pytestmark = pytest.mark.e2e


def examined(
    clinic: Clinic,
    proxy: str = "nginx",
    *,
    server: str = "notes",
    change: Change | None = None,
    **changes: Any,
) -> Report:
    """What is found where extauthz holds to a changed file, which doctor is shown too."""
    token, parts = changes.pop("token", ""), changes.pop("parts", ["walk", "token"])
    echo_tool = changes.pop("echo_tool", "get_me")
    config = clinic.config(**changes)
    with clinic.edge(proxy, service=clinic.another(config), change=change):
        return clinic.examine(server, config=config, token=token, parts=parts, echo_tool=echo_tool)


# ---- the file -----------------------------------------------------------------------------


@provokes(Code.TOKEN_AUDIENCE)
def test_the_audience_is_wrong(open_clinic: Clinic) -> Report:
    audience = open_clinic.url("notes").removesuffix("/mcp")
    report = examined(open_clinic, notes={"audiences": [audience]})
    assert open_clinic.url("notes") in table(report)
    return report


@provokes(Code.ISSUER_MISMATCH, Code.TOKEN_ISSUER)
def test_the_issuers_slash_is_wrong(open_clinic: Clinic) -> Report:
    issuer = {"issuer": open_clinic.issuer.url + "/", "jwks_uri": open_clinic.issuer.jwks_uri}
    report = examined(open_clinic, issuer=issuer)
    assert "final slash" in table(report)
    return report


@provokes(Code.NO_SERVER)
def test_no_server_has_this_path(open_clinic: Clinic) -> Report:
    """All else that does not work there is a consequence and no finding."""
    with open_clinic.edge("envoy"):
        report = open_clinic.examine("nope")
    assert report.steps[-1].skipped == "nothing can be told while extauthz knows no server here"
    return report


@provokes(Code.METADATA_WRONG)
def test_the_resource_is_not_what_clients_use(open_clinic: Clinic) -> Report:
    wrong = {"resource": open_clinic.url("notes") + "/", "audiences": [open_clinic.url("notes")]}
    return examined(open_clinic, notes=wrong)


@provokes(Code.TOKEN_ELSEWHERE)
def test_a_token_of_one_server_opens_another(open_clinic: Clinic) -> Report:
    """The file names audiences of their own; the running service has another idea."""
    shared = [open_clinic.url("notes"), open_clinic.url("calculator")]
    config = open_clinic.config(calculator={"audiences": shared, "tools": {}, "scopes": []})
    with open_clinic.edge("nginx", service=open_clinic.another(config)):
        return open_clinic.examine("notes", parts=["token"])


def test_audit_lets_everything_pass_and_that_is_no_finding(open_clinic: Clinic) -> None:
    named(examined(open_clinic, notes={"mode": "audit"}), ())


@provokes(Code.NO_METADATA_LINK, Code.METADATA_MISSING, Code.PREFLIGHT_REFUSED)
def test_no_public_url_is_known(open_clinic: Clinic, tmp_path: Path) -> Report:
    """Without a file, and with an audience that is no URL."""
    service = Service(free_port(), free_port(), free_port(), tmp_path / "extauthz.log")
    variables = {
        "OAUTH_ISSUER": open_clinic.issuer.url,
        "OAUTH_AUDIENCE": "notes",
        "EXTAUTHZ_LISTEN_GRPC": "off",
        "EXTAUTHZ_LISTEN_HTTP": f"127.0.0.1:{service.http}",
        "EXTAUTHZ_LISTEN_ADMIN": f"127.0.0.1:{service.admin}",
    }
    serve: list[str | Path] = [
        "env",
        "-C",
        tmp_path,
        *(f"{name}={value}" for name, value in variables.items()),
    ]
    serve += [sys.executable, "-m", "extauthz", "serve"]
    ready = f"http://127.0.0.1:{service.admin}/readyz"
    with (
        program(serve, service.log, lambda: answers(ready)),
        open_clinic.edge("haproxy", service=service),
    ):
        return open_clinic.examine("notes", parts=["walk"])


# ---- the issuer ---------------------------------------------------------------------------


@provokes(Code.ISSUER_METADATA)
def test_the_issuers_metadata_is_gone(open_clinic: Clinic) -> Report:
    with (
        open_clinic.faulty("discovery", Fault.ERROR) as service,
        open_clinic.edge("nginx", service=service),
    ):
        return open_clinic.examine("notes", parts=["walk"])


@provokes(Code.ISSUER_KEYS)
def test_the_issuers_keys_are_gone(open_clinic: Clinic) -> Report:
    with (
        open_clinic.faulty("keys", Fault.NO_KEYS) as service,
        open_clinic.edge("nginx", service=service),
    ):
        return open_clinic.examine("notes", parts=["walk"])


@provokes(Code.NO_PKCE)
def test_the_issuer_does_not_announce_pkce(open_clinic: Clinic) -> Report:
    url = f"{open_clinic.issuer.url}/authorize"
    open_clinic.issuer.metadata["authorization_endpoint"] = url
    try:
        with open_clinic.edge("nginx"):
            return open_clinic.examine("notes", parts=["walk"])
    finally:
        del open_clinic.issuer.metadata["authorization_endpoint"]


def _short(document: dict[str, Any]) -> None:
    ext_authz(document)["grpc_service"]["timeout"] = "0.1s"


SHORT: dict[str, dict[str, Any]] = {
    "envoy": {"change": _short},
    "nginx": {"edit": instead(("proxy_read_timeout 1s", "proxy_read_timeout 100ms"))},
    "haproxy": {"edit": instead(("TIMEOUT_MS = 1000", "TIMEOUT_MS = 40"))},
}


@pytest.mark.parametrize("proxy", SHORT)
def test_the_shipped_timeout_is_longer_than_the_wait_for_keys(
    open_clinic: Clinic, proxy: str
) -> None:
    with (
        open_clinic.faulty("keys", Fault.SLOW) as service,
        open_clinic.edge(proxy, service=service),
    ):
        named(open_clinic.examine("notes", token=None, parts=["walk"]), ())


@pytest.mark.parametrize("proxy", SHORT)
@provokes(Code.TIMEOUT_TOO_SHORT)
def test_a_timeout_shorter_than_the_wait_for_keys(open_clinic: Clinic, proxy: str) -> Report:
    with (
        open_clinic.faulty("keys", Fault.SLOW) as service,
        open_clinic.edge(proxy, service=service, **SHORT[proxy]),
    ):
        return open_clinic.examine("notes", token=None, parts=["walk"])


@provokes(Code.BAD_TOKEN_TAKEN)
def test_what_is_not_answered_in_time_passes(open_clinic: Clinic) -> Report:
    def change(document: dict[str, Any]) -> None:
        ext_authz(document)["http_service"]["server_uri"]["timeout"] = "0.1s"
        ext_authz(document)["failure_mode_allow"] = True

    with (
        open_clinic.faulty("keys", Fault.SLOW) as service,
        open_clinic.edge("envoy-http", service=service, change=change),
    ):
        return open_clinic.examine("notes", token=None, parts=["walk"])


# ---- the token ----------------------------------------------------------------------------


@provokes(Code.TOKEN_SCOPE)
def test_the_token_lacks_a_scope(open_clinic: Clinic) -> Report:
    with open_clinic.edge("nginx"):
        token = open_clinic.token("notes", scope="other")
        return open_clinic.examine("notes", token=token, parts=["token"])


@provokes(Code.TOKEN_EXPIRED)
def test_the_token_has_expired(open_clinic: Clinic) -> Report:
    with open_clinic.edge("nginx"):
        token = open_clinic.token("notes", ttl=-600)
        return open_clinic.examine("notes", token=token, parts=["token"])


@provokes(Code.TOKEN_REFUSED)
def test_the_token_is_of_another_kind(open_clinic: Clinic) -> Report:
    with open_clinic.edge("nginx"):
        token = open_clinic.token("notes", headers={"typ": "logout+jwt"})
        return open_clinic.examine("notes", token=token, parts=["token"])


@pytest.mark.parametrize("status", [404, 307, 421, 503])
def test_behind_the_proxy_there_is_no_mcp_server(open_clinic: Clinic, status: int) -> None:
    """At another path, as a rule: extauthz let the token through, and explain would say so."""
    with (
        odd_edges.edge(lambda to: odd_edges.say(to, status, b"", Location="/")) as (port, _),
        open_clinic.edge("nginx", edit=_notes_at(open_clinic, port)),
    ):
        report = open_clinic.examine("notes", parts=["token"])
    named(report, [Code.NO_MCP_SERVER])
    assert f"with the token: {status}" in table(report)


@provokes(Code.NO_MCP_SERVER)
def test_the_mcp_server_is_down(open_clinic: Clinic) -> Report:
    with open_clinic.edge("nginx", edit=_notes_at(open_clinic, free_port())):
        return open_clinic.examine("notes", parts=["token"])


def _notes_at(clinic: Clinic, port: int) -> Edit:
    return instead((f"127.0.0.1:{clinic.servers['notes'].port}", f"127.0.0.1:{port}"))


@provokes(Code.ECHO_UNUSABLE)
def test_the_echo_tool_echoes_nothing(open_clinic: Clinic) -> Report:
    with open_clinic.edge("nginx"):
        return open_clinic.examine("notes", echo_tool="add", parts=["token"])


# ---- rules for calls ----------------------------------------------------------------------


@provokes(Code.CALLS_NOT_SHOWN)
def test_the_message_is_not_shown(open_clinic: Clinic) -> Report:
    """Rules for tools behind an Envoy without its MCP filter: every POST is refused."""
    with open_clinic.edge("envoy"):
        return open_clinic.examine("calculator", parts=["token"])


@provokes(Code.RULES_NOT_ENFORCED, Code.BATCH_TAKEN)
def test_calls_pass_without_rules(open_clinic: Clinic) -> Report:
    report = examined(
        open_clinic,
        server="calculator",
        calculator={"unverified_calls": "allow_without_rules"},
        parts=["token"],
    )
    assert set(open_clinic.servers["calculator"].called) <= {
        "get_me",
        "danger_extauthz_doctor",
        "extauthz_doctor",
    }
    return report


@provokes(Code.RULES_NOT_PROBED)
def test_rules_that_deny_nothing(open_clinic: Clinic) -> Report:
    rules = {"add": ["calculator.add"], "*": "allow"}
    return examined(
        open_clinic, "envoy-mcp", server="calculator", calculator={"tools": rules}, parts=["token"]
    )


@contextmanager
def another_calculator(clinic: Clinic, server: McpServer) -> Iterator[None]:
    with running(server), ExitStack() as stack:
        kept = clinic.servers["calculator"]
        stack.callback(clinic.servers.__setitem__, "calculator", kept)
        clinic.servers["calculator"] = server
        yield


def with_header_versions(
    open_clinic: Clinic, *, compares: bool = True, by_body: bool = False
) -> Report:
    config = open_clinic.config(calculator={"header_versions": ["2026-07-28"], "tools": RULES})
    service = open_clinic.another(config)
    with (
        another_calculator(open_clinic, McpServer(compares, by_body)),
        open_clinic.edge("nginx", service=service),
    ):
        return open_clinic.examine("calculator", config=config, parts=["token"])


@provokes(Code.HEADERS_BELIEVED)
def test_header_versions_of_a_server_that_does_not_compare(open_clinic: Clinic) -> Report:
    return with_header_versions(open_clinic, compares=False)


def test_header_versions_of_a_server_that_compares_by_the_body(open_clinic: Clinic) -> None:
    """A message of an older version, which names none, runs whatever its headers say."""
    report = with_header_versions(open_clinic, by_body=True)
    named(report, (Code.HEADERS_BELIEVED,))


def test_header_versions_of_a_server_that_compares(open_clinic: Clinic) -> None:
    named(with_header_versions(open_clinic), ())
