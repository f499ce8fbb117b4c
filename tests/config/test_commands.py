"""``extauthz validate`` and ``extauthz schema``, as people run them."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from extauthz.cli import main
from extauthz.config.schema import schema_text
from tests.config.desk import SERVERS, at_issuer, at_server
from tests.keys.issuer_keys import ec_key, jwk

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and no variables of ours."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("EXTAUTHZ_", "OAUTH")) or name in ("HOST", "PORT"):
            monkeypatch.delenv(name)
    return tmp_path


def test_schema_is_printed(capsys: Capture) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == schema_text()


def test_a_good_file(folder: Path, capsys: Capture) -> None:
    (folder / "extauthz.yaml").write_text(at_server("tools: {a: allow, b*: deny}"))
    assert main(["validate"]) == 0
    digest = hashlib.sha256((folder / "extauthz.yaml").read_bytes()).hexdigest()[:12]
    assert capsys.readouterr().out == (
        f"ok: ./extauthz.yaml: 1 issuer, 1 server, 2 rules, 0 warnings; digest {digest}\n"
    )


def without_digest(lines: list[str]) -> list[str]:
    return [line.partition("; digest ")[0] for line in lines]


def test_warnings_do_not_fail(folder: Path, capsys: Capture) -> None:
    (folder / "mine.yaml").write_text(at_server("mode: audit"))
    assert main(["validate", "--config", "mine.yaml"]) == 0
    assert without_digest(capsys.readouterr().out.splitlines()) == [
        (
            "warning: mine.yaml:6:11: servers[0].mode: audit: nothing is refused for this server, "
            "only logged"
        ),
        "ok: mine.yaml: 1 issuer, 1 server, 0 rules, 1 warning",
    ]


def test_files_that_are_not_here_are_warnings_since_they_may_be_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    tls = "listen: {http_tls: {cert_file: c.pem, key_file: k.pem}}\n"
    (folder / "extauthz.yaml").write_text(at_issuer("jwks_file: j.json\nca_file: .") + tls)
    monkeypatch.setenv("EXTAUTHZ_LISTEN_HTTP_TLS_KEY_FILE", "other.pem")
    (folder / "c.pem").touch()
    assert main(["validate"]) == 0
    assert without_digest(capsys.readouterr().out.splitlines()) == [
        (
            'warning: environment: EXTAUTHZ_LISTEN_HTTP_TLS_KEY_FILE: "other.pem" cannot be read '
            "here: No such file or directory; serve will need it"
        ),
        (
            'warning: ./extauthz.yaml:4:16: issuers[0].jwks_file: "j.json" cannot be read here: No '
            "such file or directory; serve will need it"
        ),
        (
            'warning: ./extauthz.yaml:5:14: issuers[0].ca_file: "." cannot be read here: Is a '
            "directory; serve will need it"
        ),
        "ok: ./extauthz.yaml: 1 issuer, 1 server, 0 rules, 3 warnings",
    ]


def test_problems_are_lines_and_exit_code_1(folder: Path, capsys: Capture) -> None:
    (folder / "extauthz.yaml").write_text(SERVERS + "workers: 0\ndrain: 5\n")
    assert main(["validate"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "./extauthz.yaml:6:10: workers: found the number 0; expected at least 1",
        (
            "./extauthz.yaml:7:8: drain: found the number 5; expected a duration such as 500ms, "
            "30s, 10m or 24h"
        ),
        "not usable: 2 problems",
    ]


def test_flags_are_checked_like_the_file(folder: Path, capsys: Capture) -> None:
    (folder / "extauthz.yaml").write_text(SERVERS)
    assert main(["validate", "--workers", "0"]) == 1
    assert capsys.readouterr().out.splitlines()[0] == (
        "command line: --workers: found the number 0; expected at least 1"
    )


def test_the_environment_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (folder / ".env").write_text("OAUTH_ISSUER=https://a.example\n")
    monkeypatch.setenv("OAUTH_AUDIENCE", "https://m.example/x")
    assert main(["validate"]) == 0
    *_, last = without_digest(capsys.readouterr().out.splitlines())
    assert last == "ok: environment: 1 issuer, 1 server, 0 rules, 1 warning"


@contextmanager
def issuer(**metadata: object) -> Iterator[str]:
    """A real issuer on loopback; ``{me}`` in its metadata stands for its URL."""
    documents: dict[str, object] = {
        "/keys": {"keys": [jwk(ec_key(), kid="k", alg="ES256"), {"kty": "odd"}]}
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = documents.get(self.path)
            body = json.dumps(document).encode()
            self.send_response(200 if document else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    me = f"http://127.0.0.1:{server.server_port}"
    documents["/.well-known/openid-configuration"] = json.loads(
        json.dumps({"issuer": me, "jwks_uri": f"{me}/keys", **metadata}).replace("{me}", me)
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield me
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


GOOD = {
    "code_challenge_methods_supported": ["S256"],
    "registration_endpoint": "{me}/register",
}


def online(folder: Path, text: str, capsys: Capture) -> tuple[int, list[str]]:
    (folder / "extauthz.yaml").write_text(text)
    code = main(["validate", "--online"])
    return code, capsys.readouterr().out.splitlines()


def test_online_a_good_issuer(folder: Path, capsys: Capture) -> None:
    with issuer(**GOOD) as url:
        code, lines = online(folder, SERVERS.replace("https://a.example", url), capsys)
    name = url.removeprefix("http://")
    assert code == 0
    assert lines[0] == f"ok: issuer {name}: 1 key from {url}/keys for ES256"
    assert lines[1].startswith(f"warning: issuer {name}: key skipped: member 2")
    assert without_digest(lines[2:]) == [
        "ok: ./extauthz.yaml: 1 issuer, 1 server, 0 rules, 1 warning"
    ]


def test_online_what_keeps_clients_out_is_a_warning(folder: Path, capsys: Capture) -> None:
    with issuer() as url:
        code, lines = online(folder, SERVERS.replace("https://a.example", url), capsys)
    assert code == 0
    assert any("code_challenge_methods_supported" in line for line in lines)
    assert any("register themselves" in line for line in lines)


def test_every_warning_that_is_printed_is_counted(folder: Path, capsys: Capture) -> None:
    with issuer() as url:
        text = at_server("mode: audit").replace("https://a.example", url)
        code, lines = online(folder, text, capsys)
    assert code == 0
    assert sum(line.startswith("warning: ") for line in lines) == 4
    assert without_digest(lines)[-1] == (
        "ok: ./extauthz.yaml: 1 issuer, 1 server, 0 rules, 4 warnings"
    )


def test_online_no_metadata_for_clients_is_a_warning(folder: Path, capsys: Capture) -> None:
    with issuer(issuer="{me}/other") as url:
        text = SERVERS.replace("https://a.example", f"{url}\n    jwks_uri: {url}/keys")
        code, lines = online(folder, text, capsys)
    assert code == 0
    assert any("clients will find no metadata" in line for line in lines)


@pytest.mark.parametrize(
    ("metadata", "settings", "found"),
    [
        ({"issuer": "{me}/"}, "", "byte for byte"),
        ({"jwks_uri": "{me}/nothing"}, "", "404"),
        (GOOD, "algorithms: [RS256]", "no key fits its algorithms; the keys are for ES256"),
        ({}, "jwks_file: nowhere", "nowhere"),
    ],
)
def test_online_an_issuer_without_usable_keys_fails(
    folder: Path, capsys: Capture, metadata: dict[str, object], settings: str, found: str
) -> None:
    with issuer(**metadata) as url:
        text = SERVERS.replace("https://a.example", f"{url}\n    {settings}")
        code, lines = online(folder, text, capsys)
    assert code == 1
    assert any(line.startswith("error: issuer ") and found in line for line in lines)
    assert lines[-1] == "not usable: an issuer has no usable keys"


def test_online_the_environment_learns_the_exact_issuer(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with issuer(**GOOD) as url:
        monkeypatch.setenv("OAUTH_ISSUER", url + "/")
        monkeypatch.setenv("OAUTH_AUDIENCE", "https://m.example/x")
        code = main(["validate", "--online"])
    assert code == 0
    said = capsys.readouterr().out
    assert said.count(f"its metadata says '{url}' where '{url}/' is advertised") == 1
