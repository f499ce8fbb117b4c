"""``extauthz token`` against a real issuer on loopback."""

from __future__ import annotations

import http.server
import io
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import jwt
import pytest
import trustme

from extauthz.cli import main
from extauthz.cli.token_cache import EXPIRY_MARGIN, CachedToken, cache_directory, read, write
from extauthz.cli.token_request import (
    TokenError,
    TokenQuestion,
    Way,
    client_metadata_urls,
    request_token,
)
from extauthz.demo.issuer import Fault, Form, Issuer

RESOURCE = "https://mcp.example.com/calculator/mcp"
SECRET = "a secret: with+odd %characters"

Run = Callable[..., int]


@pytest.fixture(scope="module")
def shared() -> Iterator[Issuer]:
    with Issuer(
        path="/realms/acme",
        algorithms=["ES256"],
        clients={"script": SECRET},
        scopes=["read", "write"],
    ) as issuer:
        yield issuer


@pytest.fixture
def issuer(shared: Issuer) -> Iterator[Issuer]:
    shared.counts.clear()
    yield shared
    shared.faults.clear()
    shared.metadata = {}
    shared.token_ttl = 300.0
    shared.forms = {"oidc", "oauth", "oidc_inserted"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "extauthz" / "tokens"


@pytest.fixture
def token(issuer: Issuer, cache: Path, tmp_path: Path) -> Run:
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET + "\n")

    def run(*options: str) -> int:
        given = ["--client-id", "script", "--client-secret-file", str(secret_file)]
        return main(["token", "--issuer", issuer.url, *given, *options])

    return run


def test_the_token_stands_alone_on_stdout(
    token: Run, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert token("--scope", "read", "--scope", "write", "--resource", RESOURCE) == 0
    out, err = capsys.readouterr()
    claims = jwt.decode(out.strip(), options={"verify_signature": False})
    assert out.count("\n") == 1
    assert err == ""
    assert (claims["iss"], claims["aud"]) == (issuer.url, RESOURCE)
    assert (claims["client_id"], claims["scope"]) == ("script", "read write")


def test_an_issuer_may_be_named_as_in_a_file(
    token: Run, issuer: Issuer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "extauthz.yaml"
    servers = "servers: [{resource: https://m.example/x}]"
    file.write_text(f"version: 1\nissuers: [{{name: corp, issuer: '{issuer.url}'}}]\n{servers}\n")
    assert token("--issuer", "corp", "--config", str(file)) == 0
    claims = jwt.decode(capsys.readouterr().out.strip(), options={"verify_signature": False})
    assert claims["iss"] == issuer.url
    assert token("--issuer", "nobody", "--config", str(file)) == 1
    assert "no issuer of" in (told := capsys.readouterr().err)
    assert "a URL or one of corp" in told
    assert token("--issuer", "corp", "--config", str(tmp_path / "none")) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_named_issuer_is_reached_as_its_file_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain, key, ca_file, secret = (tmp_path / name for name in ("chain", "key", "ca", "secret"))
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    authority.cert_pem.write_to_path(ca_file)
    secret.write_text("s")
    with Issuer(algorithms=["ES256"], clients={"script": "s"}, tls=(chain, key)) as issuer:

        def token(**settings: str) -> int:
            issuers = [{"name": "corp", "issuer": issuer.url, **settings}]
            servers = [{"resource": RESOURCE}]
            file = tmp_path / "extauthz.yaml"
            file.write_text(json.dumps({"version": 1, "issuers": issuers, "servers": servers}))
            named = ["--issuer", "corp", "--config", str(file), "--fresh"]
            return main(
                ["token", *named, "--client-id", "script", "--client-secret-file", str(secret)]
            )

        assert token(ca_file=str(ca_file)) == 0
        assert token() == 1
        assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err
        assert token(ca_file=str(ca_file), egress_proxy="http://127.0.0.1:9") == 1
        assert "refused" in capsys.readouterr().err


def test_two_resources_are_asked_for_at_once(
    token: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["https://a.example.com/mcp", "https://b.example.com/mcp"]
    assert token("--resource", both[0], "--resource", both[1]) == 0
    claims = jwt.decode(capsys.readouterr().out.strip(), options={"verify_signature": False})
    assert claims["aud"] == both


def test_a_remembered_token_is_printed_without_asking_the_issuer(
    token: Run, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    token("--scope", "read")
    first = capsys.readouterr().out
    asked = issuer.counts.total()
    assert token("--scope", "read") == 0
    assert capsys.readouterr().out == first
    assert issuer.counts.total() == asked


def test_another_question_is_never_answered_with_the_remembered_token(
    token: Run, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    token("--scope", "read")
    token("--scope", "write")
    token("--scope", "read", "--resource", RESOURCE)
    assert issuer.counts["token"] == 3
    token("--scope", "read", "--fresh")
    assert issuer.counts["token"] == 4
    assert len(set(capsys.readouterr().out.split())) == 4


def test_a_changed_secret_is_tried_out(token: Run, tmp_path: Path, issuer: Issuer) -> None:
    assert token() == 0
    (tmp_path / "secret").write_text("another")
    assert token() == 1


@pytest.mark.parametrize(("ttl", "asked"), [(EXPIRY_MARGIN - 1, 2), (EXPIRY_MARGIN + 60, 1)])
def test_a_token_that_is_about_to_expire_is_replaced(
    token: Run, issuer: Issuer, ttl: float, asked: int
) -> None:
    issuer.token_ttl = ttl
    token()
    token()
    assert issuer.counts["token"] == asked


def test_what_is_remembered_is_readable_by_its_owner_only(token: Run, cache: Path) -> None:
    token()
    (file,) = cache.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert SECRET not in file.read_text()


def test_a_cache_that_cannot_be_written_costs_a_warning_and_no_token(
    token: Run, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    assert token() == 0
    out, err = capsys.readouterr()
    assert out.count(".") == 2
    assert err.startswith("extauthz token: not remembered: ")


@pytest.mark.parametrize("form", ["oidc", "oauth", "oidc_inserted"])
def test_one_kind_of_metadata_is_enough(token: Run, issuer: Issuer, form: Form) -> None:
    issuer.forms = {form}
    assert token() == 0


def test_an_issuer_that_takes_the_secret_only_in_the_form_gets_it_there(
    token: Run, issuer: Issuer
) -> None:
    issuer.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert token() == 0


def test_a_private_authority_is_trusted_when_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key, ca_file = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    authority.cert_pem.write_to_path(ca_file)
    with Issuer(algorithms=["ES256"], clients={"script": "s"}, tls=(chain, key)) as issuer:
        question = TokenQuestion(issuer=issuer.url, client_id="script")
        assert request_token(question, "s", Way(str(ca_file))).lifetime == 300
        with pytest.raises(TokenError, match=r"CERTIFICATE_VERIFY_FAILED.*; give --ca-file"):
            request_token(question, "s")


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_certificates_of_the_environment_that_cannot_be_had_are_named_by_their_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    file = tmp_path / "authorities.pem"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    question = TokenQuestion(issuer="https://idp.invalid", client_id="script")
    with pytest.raises(TokenError, match=r"SSL_CERT_FILE.*expected certificates in PEM"):
        request_token(question, "s")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (("discovery", Fault.ERROR), "no metadata of this issuer"),
        (("discovery", Fault.REDIRECT), "status 302"),
        (("discovery", Fault.GARBAGE), "no JSON object"),
        (
            ("discovery", Fault.WRONG_ISSUER),
            "is https://another-issuer.invalid; --issuer must equal it",
        ),
        (("discovery", Fault.BIG), "longer than 1048576 bytes"),
        (("discovery", Fault.TRUNCATED), "openid-configuration"),
        (("token", Fault.ERROR), "refused with status 500: server_error"),
        (("token", Fault.REDIRECT), "refused with status 302"),
        (("token", Fault.GARBAGE), "no usable `access_token`"),
        (("token", Fault.BIG), "longer than 1048576 bytes"),
        (("token", Fault.TRUNCATED), "/token"),
    ],
)
def test_a_failing_issuer_is_exit_1_with_the_cause_on_stderr(
    token: Run,
    issuer: Issuer,
    capsys: pytest.CaptureFixture[str],
    broken: tuple[Literal["discovery", "token"], Fault],
    says: str,
) -> None:
    issuer.forms = {"oidc"}
    issuer.faults = dict([broken])
    assert token() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("extauthz token: ")
    assert says in err
    assert SECRET not in err


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"token_endpoint": None}, "names no https `token_endpoint`"),
        ({"token_endpoint": "http://idp.example.com/token"}, "names no https `token_endpoint`"),
        ({"token_endpoint": "file:///etc/passwd"}, "names no https `token_endpoint`"),
        (
            {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
            "neither client_secret_basic nor client_secret_post",
        ),
    ],
)
def test_metadata_that_cannot_be_used_is_refused_before_the_secret_leaves(
    token: Run,
    issuer: Issuer,
    capsys: pytest.CaptureFixture[str],
    metadata: dict[str, object],
    says: str,
) -> None:
    issuer.metadata = metadata
    assert token() == 1
    assert says in capsys.readouterr().err
    assert issuer.counts["token"] == 0


def test_a_refusal_is_told_in_the_issuers_words(
    token: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert token("--scope", "admin") == 1
    assert "status 400: invalid_scope: scopes to be had here: read write" in capsys.readouterr().err


def test_an_issuer_that_calls_itself_otherwise_is_told_as_it_does(
    token: Run, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert token("--issuer", issuer.url + "/") == 1
    assert f"its `issuer` is {issuer.url}; --issuer must equal it" in capsys.readouterr().err


def test_an_issuer_that_is_down_is_named(
    token: Run, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer.stop()
    try:
        assert token() == 1
    finally:
        issuer.start()
    assert f"{issuer.origin}/.well-known/" in capsys.readouterr().err


@contextmanager
def trickling(*, whole: int = 0) -> Iterator[str]:
    """The URL of an issuer that sends one line of a head after another, for as long as it may.

    The first ``whole`` questions it answers at once, with its metadata.
    """
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        metadata = json.dumps({"issuer": url, "token_endpoint": f"{url}/token"})

        def serve() -> None:
            answered = 0
            while not ended.is_set():
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    while connection.recv(65536) and answered < whole:
                        answered += 1
                        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(metadata)}\r\n\r\n"
                        connection.sendall((head + metadata).encode())
                    connection.sendall(b"HTTP/1.1 200 OK\r\n")
                    while not ended.wait(0.02):
                        connection.sendall(b"X: y\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield url
        finally:
            ended.set()
            with suppress(OSError):
                socket.create_connection(server.getsockname()).close()
            thread.join(10)


@pytest.mark.parametrize(("whole", "where"), [(0, "/.well-known/"), (1, "/token")])
def test_the_whole_exchange_has_one_deadline_however_an_issuer_trickles(
    monkeypatch: pytest.MonkeyPatch, whole: int, where: str
) -> None:
    monkeypatch.setattr("extauthz.cli.token_request.TIMEOUT", 0.4)
    with trickling(whole=whole) as url:
        started = time.monotonic()
        with pytest.raises(TokenError, match=rf"^{url}{where}.* within 0.4 s"):
            request_token(TokenQuestion(issuer=url, client_id="script"), SECRET)
        assert 0.4 <= time.monotonic() - started < 3


@pytest.mark.parametrize(
    "proxy", ["socks5://user:canary@127.0.0.1:1", "ftp://canary", "http://canary:port"]
)
def test_a_proxy_of_the_environment_that_is_of_no_use_is_named_by_its_variables(
    proxy: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    given = ["--client-id", "script", "--client-secret-file", str(secret)]
    assert main(["token", "--issuer", "https://idp.example.com", *given]) == 1
    said = capsys.readouterr()
    assert "HTTPS_PROXY" in said.err
    assert "expected http://host:port" in said.err
    assert "canary" not in said.err
    assert not said.out


def test_a_secret_on_standard_input_is_utf_8_text(token: Run, tmp_path: Path) -> None:
    """In a process of its own, whose input is no text."""
    given = ["--issuer", "https://idp.example.com", "--client-id", "a", "--client-secret-file", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "extauthz", "token", *given],
        input=b"\xff\xfe", capture_output=True, check=False, cwd=tmp_path, timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:surrogateescape"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        b"extauthz token: cannot read the client secret from -: it is not UTF-8 text"
    ]


def test_the_secret_may_come_by_standard_input(token: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO((SECRET + "\n").encode()), encoding="ascii")
    monkeypatch.setattr("sys.stdin", given)
    assert token("--client-secret-file", "-") == 0


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_secret_that_is_not_there_is_named_by_its_file(
    token: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = tmp_path / "other"
    if content is not None:
        file.write_text(content)
    assert token("--client-secret-file", str(file)) == 1
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize("url", ["idp", "http://idp.example.com", "https://idp.example.com/?a=1"])
def test_an_issuer_that_is_no_https_url_is_a_usage_error(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["token", "--issuer", url, "--client-id", "a", "--client-secret-file", "-"])
    assert caught.value.code == 2
    assert "argument --issuer: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [
        (3600, 3600),
        ("3600", 3600),
        (0.5, 0.5),
        (31_622_400, 31_622_400),
        ("31622400", 31_622_400),
        (31_622_401, None),
        ("31622401", None),
        ("0", None),
        ("-1", None),
        ("1e3", None),
        ("", None),
        (True, None),
        (None, None),
    ],
)
def test_a_lifetime_may_be_a_number_or_its_digits(
    issuer: Issuer, said: object, lifetime: float | None
) -> None:
    answer = {"access_token": "a", "token_type": "Bearer", "expires_in": said}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        issuer.metadata = {"token_endpoint": f"http://127.0.0.1:{server.server_port}/"}
        question = TokenQuestion(issuer=issuer.url, client_id="script")
        assert request_token(question, "s").lifetime == lifetime
        thread.join()


def test_metadata_is_looked_for_where_mcp_clients_look() -> None:
    assert client_metadata_urls("https://as.example/tenant1") == (
        "https://as.example/.well-known/oauth-authorization-server/tenant1",
        "https://as.example/.well-known/openid-configuration/tenant1",
        "https://as.example/tenant1/.well-known/openid-configuration",
    )
    assert client_metadata_urls("https://as.example/") == (
        "https://as.example/.well-known/oauth-authorization-server",
        "https://as.example/.well-known/openid-configuration",
    )


def test_the_cache_lies_where_the_xdg_specification_says() -> None:
    assert cache_directory({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/extauthz/tokens")
    assert cache_directory({"XDG_CACHE_HOME": "c", "HOME": "/h"}) == Path(
        "/h/.cache/extauthz/tokens"
    )
    assert cache_directory({}) is None


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604])
def test_a_file_that_others_could_have_read_is_not_trusted(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token.json"
    write(file, CachedToken("abc", time.time() + 300))
    file.chmod(mode)
    assert (read(file, time.time()) is not None) == (mode == 0o600)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"token": "a", "expires_at": NaN}'])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token.json"
    file.write_text(content)
    file.chmod(0o600)
    assert read(file, 0.0) is None


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    file = tmp_path / "token.json"
    write(tmp_path / "elsewhere.json", CachedToken("abc", time.time() + 300))
    file.symlink_to(tmp_path / "elsewhere.json")
    assert read(file, time.time()) is None
