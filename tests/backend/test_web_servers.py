"""A real uvicorn in front of the middleware, told and not told to leave the peer alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from extauthz.backend import IdentityMiddleware, identity_headers
from tests.e2e.rawhttp import connection

HEADERS = identity_headers(server="notes")


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def serving(behind: Any = _app, **settings: Any) -> Iterator[str]:
    """Uvicorn with its own defaults but for ``settings``; the URL it is at."""
    app = IdentityMiddleware(behind, server="notes", trusted_proxies=["127.0.0.0/8", "10.0.0.0/8"])
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, **settings)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline
        thread.join(0.01)
    try:
        (listener,) = [one for server in server.servers for one in server.sockets]
        port = listener.getsockname()[1] if "uds" not in settings else 0
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "10.0.0.1", "10.0.0.1:1234", "[10.0.0.1]:1"])
@pytest.mark.parametrize("settings", [{}, {"forwarded_allow_ips": "*"}], ids=["default", "all"])
def test_a_peer_that_uvicorn_took_from_a_header_is_refused(
    settings: dict[str, Any], forwarded: str
) -> None:
    with serving(**settings) as url:
        answer = httpx.get(url, headers={**HEADERS, "X-Forwarded-For": forwarded})
    assert answer.status_code == 403
    assert "--no-proxy-headers" in answer.json()["why"]


def test_told_to_leave_the_peer_alone_uvicorn_serves_the_proxy_whatever_its_header_says() -> None:
    with serving(proxy_headers=False) as url:
        for forwarded in ("203.0.113.9", "10.0.0.1:1234"):
            answer = httpx.get(url, headers={**HEADERS, "X-Forwarded-For": forwarded})
            assert answer.status_code == 204


def test_on_a_unix_socket_the_peer_is_trusted_unless_a_header_took_its_place(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "s")
    headers = {**HEADERS, "X-Forwarded-For": "10.0.0.1"}
    for settings, status in (({}, 204), ({"forwarded_allow_ips": "*"}, 403)):
        transport = httpx.HTTPTransport(uds=path)
        with serving(uds=path, **settings) as url, httpx.Client(transport=transport) as client:
            assert client.get(url, headers=headers).status_code == status


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_what_comes_after_the_body_names_nobody(http: Any, later: bool) -> None:
    """Proxies that pass trailers on send an empty header for what the caller does not have."""
    asked = threading.Event()
    subjects: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        while (await receive()).get("more_body"):
            pass
        subjects.extend(value for name, value in scope["headers"] if name == b"x-auth-subject")
        await _app(scope, receive, send)

    lines = {**identity_headers(server="notes", subject=None), "x-auth-subject": ""}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    start = f"POST / HTTP/1.1\r\nHost: h\r\n{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n"
    end = "0\r\nX-Auth-Subject: ceo\r\n\r\n"
    with (
        serving(app, http=http, proxy_headers=False) as url,
        connection(urlsplit(url).port or 0) as client,
    ):
        client.send((start if later else start + end).encode())
        if later:
            assert asked.wait(10)
            client.send(end.encode())
        assert client.read_head().status == (204 if subjects else 403)
    assert subjects in ([], [b""])
    assert later <= bool(subjects)
