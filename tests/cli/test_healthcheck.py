"""``extauthz healthcheck`` and ``version``, as a container runs them."""

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from extauthz import __version__
from extauthz.cli import main
from extauthz.cli.healthcheck import DEFAULT, NotReadyError, admin_address, ask
from extauthz.config.model import ListenSettings


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers ``/readyz`` as told."""

    status = 200
    body = b"ready\n"

    def do_GET(self) -> None:
        found = self.path == "/readyz"
        self.send_response(self.status if found else 404)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name upstream
        pass

    def address_string(self) -> str:
        return "peer"


class UnixServer(socketserver.UnixStreamServer):
    def get_request(self) -> tuple[socket.socket, Any]:
        return super().get_request()[0], ("peer", 0)


@contextmanager
def answering(
    status: int = 200, body: bytes = b"ready\n", path: Path | None = None
) -> Iterator[str]:
    """A listener that gives this answer, and its address."""
    handler = type("Handler", (Answering,), {"status": status, "body": body})
    server: socketserver.BaseServer
    if path is None:
        server = tcp = http.server.HTTPServer(("127.0.0.1", 0), handler)
        address = f"127.0.0.1:{tcp.server_address[1]}"
    else:
        server, address = UnixServer(str(path), handler), f"unix:{path}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_ready_is_0_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with answering() as address:
        assert main(["healthcheck", "--admin", address]) == 0
    assert capsys.readouterr().out == "ready\n"


def test_not_ready_is_1_and_the_reason_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(503, b"not ready: draining\x1b[31m\nmore\n") as address:
        assert main(["healthcheck", "--admin", address]) == 1
    assert capsys.readouterr().err == "not ready: draining[31m more\n"


def test_a_url_and_a_unix_socket_are_asked_too(tmp_path: Path) -> None:
    with answering() as address:
        assert ask(f"http://{address}", 3) == "ready"
    with answering(path=tmp_path / "admin.sock") as address:
        assert ask(address, 3) == "ready"


def test_what_listens_everywhere_is_asked_on_loopback() -> None:
    with answering() as address:
        assert ask(address.replace("127.0.0.1", "0.0.0.0"), 3) == "ready"  # noqa: S104


def test_nobody_there_says_what_was_expected(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NotReadyError, match=rf"cannot ask 127.0.0.1:{port}: .*refused; expected"):
        ask(f"127.0.0.1:{port}", 3)
    with pytest.raises(NotReadyError, match="No such file"):
        ask(f"unix:{tmp_path}/none.sock", 3)


def test_somebody_who_does_not_answer_in_time_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NotReadyError, match=r"no answer .* within 0.05 seconds"):
            ask(address, 0.05)


def test_somebody_who_speaks_no_http_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(NotReadyError, match="BadStatusLine"):
            ask(f"127.0.0.1:{server.getsockname()[1]}", 3)
        thread.join(10)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "nonsense:port", "ftp://127.0.0.1:1", "http://[::1", ":9090", ""]
)
def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    with pytest.raises(NotReadyError, match="expected host:port"):
        ask(address, 1)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--timeout", "-1", "expected more than 0 and at most 300 seconds"),
        ("--timeout", "0", "expected more than 0 and at most 300 seconds"),
        ("--timeout", "300.1", "expected more than 0 and at most 300 seconds"),
        ("--timeout", "1e30", "expected more than 0 and at most 300 seconds"),
        ("--timeout", "nan", "expected more than 0 and at most 300 seconds"),
        ("--admin", "foo", "foo is no address; expected host:port, unix:/path, or an http(s) URL"),
        ("--admin", "", "is no address; expected host:port"),
    ],
)
def test_an_argument_without_meaning_is_a_mistake_in_the_call(
    capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["healthcheck", "--admin", "off", f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: " in (told := capsys.readouterr().err)
    assert said in told


@pytest.mark.parametrize("value", ["0.001", "300"])
def test_the_shortest_and_the_longest_wait_are_taken(value: str) -> None:
    assert main(["healthcheck", "--admin", "off", "--timeout", value]) == 1


def test_a_listener_that_is_off_cannot_be_asked() -> None:
    with pytest.raises(NotReadyError, match=r"listen\.admin"):
        ask("off", 1)


def reader(files: Mapping[str, bytes]) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]

    return read


FILE = b"version: 1\nlisten: {admin: 10.0.0.1:9000}\n"


@pytest.mark.parametrize(
    ("config", "environ", "files", "address"),
    [
        (None, {}, {}, DEFAULT),
        (None, {}, {"./extauthz.yaml": FILE}, "10.0.0.1:9000"),
        (None, {}, {"/etc/extauthz/extauthz.yaml": FILE}, "10.0.0.1:9000"),
        ("x.yaml", {}, {"x.yaml": FILE}, "10.0.0.1:9000"),
        (None, {"EXTAUTHZ_CONFIG": "x.yaml"}, {"x.yaml": FILE}, "10.0.0.1:9000"),
        ("x.yaml", {"EXTAUTHZ_LISTEN_ADMIN": "h:1"}, {"x.yaml": FILE}, "h:1"),
        ("x.yaml", {}, {"x.yaml": b"version: 1\n"}, DEFAULT),
        ("x.yaml", {}, {"x.yaml": b"listen: {admin: off}"}, "off"),
        ("x.yaml", {}, {"x.yaml": b"}{ broken"}, DEFAULT),
        ("x.yaml", {}, {"x.yaml": FILE + b"servers: 7\nnonsense: true\n"}, "10.0.0.1:9000"),
        (None, {}, {".env": b"EXTAUTHZ_LISTEN_ADMIN=h:2\n"}, "h:2"),
        (None, {}, {".env": b"OTHER=1\n"}, DEFAULT),
        (None, {}, {".env": b"EXTAUTHZ_LISTEN_ADMIN=h:2\n", "./extauthz.yaml": FILE}, None),
    ],
)
def test_the_address_is_found_as_serve_finds_it(
    config: str | None, environ: dict[str, str], files: dict[str, bytes], address: str | None
) -> None:
    found = admin_address(config, environ, reader(files))
    assert found == (address or "10.0.0.1:9000")


def test_a_file_that_was_named_must_be_there() -> None:
    with pytest.raises(NotReadyError, match=r"cannot read x.yaml: No such file"):
        admin_address("x.yaml", {}, reader({}))


def test_the_default_is_that_of_serve() -> None:
    """Written down a second time, since the configuration takes longer to load than to ask."""
    assert str(ListenSettings().admin) == DEFAULT


def test_it_starts_without_what_the_service_needs() -> None:
    """Every few seconds a container starts it: what it loads is what it costs."""
    code = (
        "import sys; from extauthz.cli import main; main(['healthcheck', '--admin', 'off']);"
        "print(sorted(set(sys.modules) & {'pydantic', 'grpc', 'httpx', 'jwt', 'cryptography',"
        " 'prometheus_client', 'yaml', 'asyncio'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ
    )
    assert done.stdout == "[]\n"


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"extauthz {__version__}\n"


def test_the_version_is_an_option_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"extauthz {__version__}\n"
