"""What a service notices of how proxies ask it stands in its status and, once, in its log."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from extauthz._pb.external_auth_pb2 import CheckResponse
from extauthz.service.noticed import Noticed
from tests.adapters.doors import CHECK, Asked, check_request
from tests.service.conftest import CONFIG, Running, started, until
from tests.service.test_workers import counted
from tests.tokens import mint, signer

RULES = "    tools: {{safe: allow, danger: deny}}\n"
CONFIGS = {"one process": CONFIG + RULES, "two workers": CONFIG + RULES + "workers: 2\n"}


def said(name: str = "safe") -> dict[str, Any]:
    """What Envoy's MCP filter makes of a call."""
    return {"is_mcp_request": True, "method": "tools/call", "params": {"name": name}}


def message(name: str = "safe") -> bytes:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}}
    return json.dumps(call).encode()


class Proxy:
    """Asks as Envoy does, on one connection."""

    def __init__(self, running: Running, channel: grpc.Channel) -> None:
        self.running = running
        self._check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        self._token = mint({"scope": "notes"}, now=time.time())

    def asks(self, token: str = "", timeout: float = 5.0, **more: Any) -> int:
        lines = (
            ("authorization", f"Bearer {token or self._token}"),
            ("content-type", "application/json"),
        )
        request = check_request(Asked(lines=lines, **more))
        reply = CheckResponse.FromString(self._check(request.SerializeToString(), timeout=timeout))
        return int(reply.status.code)

    def warnings(self) -> list[str]:
        told: list[str] = self.running.status()["health"]["config"]["warnings"]
        return told

    def logged(self, about: str) -> int:
        return sum(about in line["msg"] for line in self.running.lines())


@pytest.fixture(params=list(CONFIGS.values()), ids=list(CONFIGS))
def proxy(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    running = Running(tmp_path)
    running.write(request.param)
    with (
        started(running),
        grpc.insecure_channel(f"127.0.0.1:{running.ports['grpc']}") as channel,
    ):
        yield Proxy(running, channel)


def test_a_call_without_its_message_is_warned_of_until_one_comes_with_it(proxy: Proxy) -> None:
    assert proxy.asks(mcp=said(), body=message()) == 0
    until(lambda: proxy.warnings() == [])
    for name, code in (("safe", 0), ("danger", 7), ("safe", 0)):
        assert proxy.asks(mcp=said(name)) == code
    until(lambda: len(proxy.warnings()) == 1)
    [warning] = proxy.warnings()
    assert warning.startswith("server notes: ")
    until(lambda: proxy.logged("with_request_body") == 1)
    assert "with_request_body" in warning
    assert proxy.asks(mcp=said(), body=message()) == 0
    until(lambda: proxy.warnings() == [])
    assert proxy.asks(mcp=said()) == 0
    until(lambda: len(proxy.warnings()) == 1)
    # What is new is logged together: had it been again, it stood there with this.
    hurried(proxy)
    until(lambda: proxy.logged("good tokens will fail") == 1)
    assert proxy.logged("with_request_body") == 1


def hurried(proxy: Proxy) -> None:
    stranger = mint(key=signer("ES256", "stranger"), header={"kid": "other"}, now=time.time())
    assert proxy.asks(token=stranger, body=message(), timeout=0.2) != 0


def test_requests_that_make_no_call_are_not_warned_of(proxy: Proxy) -> None:
    response = {"is_mcp_request": True, "method": "__jsonrpc_response"}
    assert proxy.asks(method="GET") == 0
    assert proxy.asks(mcp=said(), method="GET") == 0
    assert proxy.asks(mcp=response) == 7
    assert proxy.asks(token="x.y.z", mcp=said()) != 0
    assert proxy.asks(body=message()) == 0
    until(lambda: counted(proxy.running) == 5)
    assert proxy.warnings() == []


def test_a_proxy_that_gives_too_little_time_is_warned_of(proxy: Proxy) -> None:
    hurried(proxy)
    until(lambda: len(proxy.warnings()) == 1)
    assert proxy.warnings()[0].startswith("a proxy gave a check 0.")
    until(lambda: proxy.logged("good tokens will fail") == 1)


def test_what_several_noticed_is_the_least_time_and_every_server() -> None:
    parts = (Noticed(), Noticed(0.2, frozenset("a")), Noticed(0.1, frozenset("b")), Noticed(0.15))
    assert Noticed.by_any(parts) == Noticed(0.1, frozenset("ab"))
    assert Noticed.by_any(()) == Noticed()


def test_what_is_known_is_not_new() -> None:
    noticed = Noticed(0.2, frozenset("ab"))
    assert noticed.but_for(Noticed()) == noticed
    assert noticed.but_for(Noticed(0.1, frozenset("a"))) == Noticed(None, frozenset("b"))


def test_servers_that_are_gone_are_not_spoken_of() -> None:
    noticed = Noticed(0.2, frozenset("ab"))
    assert noticed.among(["b", "c"]) == Noticed(0.2, frozenset("b"))


@pytest.mark.parametrize(
    ("servers", "shown"),
    [
        ("a", "server a: "),
        ("ba", "servers a, b: "),
        ("abc", "servers a, b, c: "),
        ("abcd", "servers a, b, c and 1 more: "),
    ],
)
def test_a_few_servers_are_named(servers: str, shown: str) -> None:
    [warning] = Noticed(unseen=frozenset(servers)).warnings()
    assert warning.startswith(shown)
    assert Noticed().warnings() == ()
