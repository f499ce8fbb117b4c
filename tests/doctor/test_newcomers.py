"""Whoever makes one of the usual mistakes finds out why, from what the commands print."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extauthz.cli import main
from extauthz.demo.issuer import Fault
from tests.doctor.breaking import ext_authz, without
from tests.doctor.clinic import Clinic

pytestmark = pytest.mark.e2e

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command with a configuration, and a token on standard input."""

    def ran(
        config: dict[str, Any], command: str, *options: str, token: str = ""
    ) -> tuple[int, str]:
        file = tmp_path / "extauthz.yaml"
        file.write_text(json.dumps({"version": 1, **config}))
        monkeypatch.setattr("sys.stdin", io.StringIO(token))
        code = main([command, "--config", str(file), *options])
        told = capsys.readouterr()
        assert token == "" or token not in told.out + told.err
        return code, " ".join((told.out + told.err).split())

    return ran


def test_the_audience(open_clinic: Clinic, run: Run) -> None:
    url, token = open_clinic.url("notes"), open_clinic.token("notes")
    config = open_clinic.config(notes={"audiences": [f"{url}/"]})
    with open_clinic.edge("nginx", service=open_clinic.another(config)):
        code, told = run(
            config, "doctor", "--url", url, "--token-file", "-", "--only", "token", token=token
        )
    assert code == 1
    assert "PROBLEM token_audience" in told
    assert f"differs from {url}/ only by the final slash" in told
    assert "list the token's audience in `audiences`, if it means this server alone" in told
    code, told = run(config, "explain", "--url", url, "--token", "-", token=token)
    assert code == 1
    assert f"FAIL audience expected {url}/ found {url}" in told
    assert f"or, if it means this server alone, write audiences: [{url}/, {url}]" in told


def test_the_slash_of_the_issuer(open_clinic: Clinic, run: Run) -> None:
    url, token = open_clinic.url("notes"), open_clinic.token("notes")
    config = open_clinic.config(issuer={"issuer": f"{open_clinic.issuer.url}/"})
    same = (
        f"its issuer is '{open_clinic.issuer.url}' where '{open_clinic.issuer.url}/' is configured"
    )
    code, told = run(config, "validate", "--online")
    assert code == 1
    assert same in told
    code, told = run(config, "explain", "--url", url, "--token", "-", token=token)
    assert code == 1
    assert "the token's iss lacks a final slash and the configuration differs" in told
    with open_clinic.edge("nginx", service=open_clinic.another(config)):
        code, told = run(config, "doctor", "--url", url, "--token-file", "-", token=token)
    assert code == 1
    assert "PROBLEM issuer_mismatch" in told
    assert same in told
    assert "PROBLEM token_issuer" in told


def test_the_strip_list_of_nginx(open_clinic: Clinic, run: Run) -> None:
    """A header more in the file, and the proxy's files are not written anew."""
    extra = {"forward": {"headers": {"x-user-email": "email"}}}
    config = open_clinic.config(notes=extra)
    options = ["--url", open_clinic.url("notes"), "--token-file", "-", "--echo-tool", "get_me"]
    with open_clinic.edge("nginx", service=open_clinic.another(config)):
        code, told = run(
            config, "doctor", *options, "--only", "token", token=open_clinic.token("notes")
        )
    assert code == 1
    assert "PROBLEM spoof_arrives seen x-user-email: extauthz-doctor-spoof" in told
    assert "proxy_set_header for every identity and extra header" in told


def test_a_header_forgotten_in_nginx(open_clinic: Clinic, run: Run) -> None:
    options = ["--url", open_clinic.url("notes"), "--token-file", "-", "--echo-tool", "get_me"]
    with open_clinic.edge("nginx", edit=without("proxy_set_header X-Auth-Scopes")):
        code, told = run(
            open_clinic.config(),
            "doctor",
            *options,
            "--only",
            "token",
            token=open_clinic.token("notes"),
        )
    assert code == 1
    assert "PROBLEM spoof_arrives seen x-auth-scopes: extauthz-doctor-spoof" in told


def test_the_timeout_of_envoy(open_clinic: Clinic, run: Run) -> None:
    def short(document: dict[str, Any]) -> None:
        ext_authz(document)["grpc_service"]["timeout"] = "0.15s"

    with (
        open_clinic.faulty("keys", Fault.SLOW) as service,
        open_clinic.edge("envoy", service=service, change=short),
    ):
        options = ("--url", open_clinic.url("notes"), "--only", "walk")
        code, told = run(open_clinic.config(), "doctor", *options)
        warnings = open_clinic.spare.status()["health"]["config"]["warnings"]
    assert code == 1
    assert "PROBLEM timeout_too_short" in told
    assert "Raise the proxy's timeout for the question to 1 s" in told
    assert any("set its timeout to 1s" in warning for warning in warnings)
