"""The HTTP door: who is believed what, and how each flavour is answered (contract, section 7)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from ipaddress import ip_network
from typing import Any

import pytest

from extauthz.adapters import trust
from extauthz.adapters.forward_auth import from_client, from_envoy, from_forwarder, from_nginx
from extauthz.adapters.http_door import HttpDoor
from extauthz.adapters.http_message import HttpRequest, HttpResponse
from extauthz.adapters.trust import TrustedPeers
from extauthz.core.challenge import _BODIES
from extauthz.core.model import Allow, Deny, Reason, Refusal, Request
from tests.adapters.doors import LOOPBACK, Keys, Observer, authorizer, reason_in
from tests.policies import ORIGIN, SERVERS, compiled, document
from tests.tokens import NOW, mint

STREAM = {
    "name": "stream",
    "resource": "https://mcp.example.com/stream/mcp",
    "issuers": ["corp"],
    "forward": {"token": "keep", "stream_lease": "token"},
}
ANYWHERE = {
    "name": "anywhere",
    "resource": "https://any.example.com/",
    "match": {"hosts": ["any.example.com"], "paths": ["/"]},
    "issuers": ["corp"],
    "origins": ["*"],
}
POLICY = compiled(document(servers=[*SERVERS, STREAM, ANYWHERE]))

NGINX = {
    "x-original-uri": "/notes/mcp",
    "x-original-method": "POST",
    "x-original-host": "mcp.example.com",
}
FORWARDED = {
    "x-forwarded-uri": "/notes/mcp",
    "x-forwarded-method": "POST",
    "x-forwarded-host": "mcp.example.com",
    "x-forwarded-proto": "https",
}
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}


class Client:
    """Asks a door of its own, without a server in between."""

    def __init__(self, trusted: TrustedPeers | None = None) -> None:
        self.observer, self.keys = Observer(), Keys()
        door = authorizer(POLICY, self.keys, self.observer)
        self.door = HttpDoor(door, trusted or TrustedPeers(LOOPBACK))

    def ask(
        self,
        target: str,
        headers: dict[str, str],
        *,
        method: str = "GET",
        peer: str | None = "127.0.0.1",
        repeated: tuple[str, ...] = (),
    ) -> HttpResponse:
        given = {"host": "mcp.example.com", **headers}
        answer = self.door(HttpRequest(method, target, given, frozenset(repeated), peer))
        if isinstance(answer, HttpResponse):
            return answer
        return asyncio.run(_wait(answer))

    @property
    def last(self) -> Any:
        return self.observer.told[-1][1]


async def _wait(answer: Awaitable[HttpResponse]) -> HttpResponse:
    return await answer


@pytest.fixture
def client() -> Client:
    return Client()


def good(**changes: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {mint(changes)}"}


def header(answer: HttpResponse, name: str) -> str | None:
    values = [value.decode() for key, value in answer.lines if key == name.encode()]
    assert len(values) <= 1
    return values[0] if values else None


# ---- who is believed


@pytest.mark.parametrize("url", ["/auth/nginx", "/auth/forward"])
@pytest.mark.parametrize("peer", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "", None])
def test_an_untrusted_peers_word_does_not_count(client: Client, url: str, peer: str | None):
    answer = client.ask(url, {**NGINX, **FORWARDED, **good()}, peer=peer)
    assert answer.status == 403
    assert reason_in(answer.body) == "untrusted_proxy"
    assert isinstance(client.last, Deny)
    assert (peer or "without an address") in client.last.detail
    assert "listen.trusted_proxies" in client.last.detail


@pytest.mark.parametrize("url", ["/auth/nginx", "/auth/forward"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1"])
def test_a_trusted_peers_word_counts(client: Client, url: str, peer: str):
    assert client.ask(url, {**NGINX, **FORWARDED, **good()}, peer=peer).status == 200


def test_peers_on_a_unix_socket_are_always_trusted():
    client = Client(TrustedPeers((), unix=True))
    assert client.ask("/auth/nginx", {**NGINX, **good()}, peer=None).status == 200


def test_trust_may_change_while_serving(client: Client):
    client.door.trust(TrustedPeers([ip_network("192.0.2.0/24")]))
    assert client.ask("/auth/nginx", {**NGINX, **good()}, peer="192.0.2.9").status == 200
    assert client.ask("/auth/nginx", {**NGINX, **good()}, peer="127.0.0.1").status == 403


def test_a_scoped_address_is_no_reason_to_fail():
    peers = TrustedPeers([ip_network("fe80::/10")])
    assert [peers.trusts(one) for one in ("fe80::1%eth0", "nonsense")] == [True, False]


def test_a_few_answers_are_remembered(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    class Network:
        def __contains__(self, address: object) -> bool:
            asked.append(str(address))
            return False

    monkeypatch.setattr(trust, "_MAX_KNOWN", 2)
    networks: list[Any] = [Network()]
    peers = TrustedPeers(networks)
    first, second, third = "192.0.2.1", "192.0.2.2", "192.0.2.3"
    assert not any(peers.trusts(one) for one in (first, second, first, second))
    assert asked == [first, second]
    assert not any(peers.trusts(one) for one in (third, first))
    assert asked == [first, second, third, first]


# ---- the original request


OF_THE_QUESTION = (
    *NGINX,
    *FORWARDED,
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-mcp-server",
    "x-original-proto",
    "x-original-url",
)


def test_each_flavour_tells_the_core_what_it_was_told_and_nothing_of_the_question():
    given = {**dict.fromkeys(OF_THE_QUESTION, "x"), "accept": "a", "host": "h.example"}
    given |= {**NGINX, **FORWARDED, "x-forwarded-uri": "/forwarded", "x-mcp-server": "notes"}
    asked = HttpRequest("GET", "/asked", given, frozenset({"accept"}), None)
    told: Any = {
        "host": "mcp.example.com",
        "headers": {"accept": "a"},
        "repeated": frozenset({"accept"}),
    }
    yes_or_no: Any = {"method": "POST", "refuse_lookalikes": True, "in_band": False}
    assert from_nginx(asked) == Request(**told, **yes_or_no, target="/notes/mcp", server="notes")
    assert from_forwarder(asked) == Request(**told, **yes_or_no, target="/forwarded")
    told |= {"method": "GET", "host": "h.example"}
    joined = Request(**told, target="/after", joined=True, in_band=False)
    assert from_envoy(asked, "/after") == joined
    assert from_client(asked) == Request(**told, target="/asked")


PARTIAL = "x-envoy-auth-partial-body"


@pytest.mark.parametrize("read", [from_nginx, from_forwarder])
@pytest.mark.parametrize("lines", [{}, {PARTIAL: "true"}])
@pytest.mark.parametrize(("sent", "told"), [(b"", None), (b"{}", b"{}")])
def test_a_body_is_whole_and_one_of_nothing_is_none(read: Any, lines: Any, sent: Any, told: Any):
    """What Envoy says of parts is here the client's own word."""
    given = {**NGINX, **FORWARDED, **lines}
    request = read(HttpRequest("GET", "/", given, frozenset(), None, sent))
    assert isinstance(request, Request)
    assert (request.body, request.body_truncated) == (told, False)


@pytest.mark.parametrize(
    ("lines", "sent", "told", "truncated"),
    [
        ({}, b"", None, False),
        ({}, b"{}", b"{}", False),
        ({PARTIAL: "false"}, b"", b"", False),
        ({PARTIAL: "false"}, b"{}", b"{}", False),
        ({PARTIAL: "true"}, b"{}", b"{}", True),
        ({PARTIAL: "false,false"}, b"{}", b"{}", True),
        ({PARTIAL: ""}, b"", b"", True),
    ],
)
def test_envoy_says_whether_a_body_is_whole(lines: Any, sent: Any, told: Any, truncated: bool):
    asked = HttpRequest("POST", "/", {"host": "h.example", **lines}, frozenset(), None, sent)
    request = from_envoy(asked, "/")
    assert isinstance(request, Request)
    assert (request.body, request.body_truncated) == (told, truncated)
    assert isinstance(from_client(asked), Request)
    assert from_client(asked).body is None


def test_a_host_that_is_told_twice_is_refused_with_a_body_too():
    asked = HttpRequest("POST", "/", {"host": "a,a"}, frozenset({"host"}), None, b"{}")
    assert isinstance(from_envoy(asked, "/"), Refusal)


def test_no_host_is_an_empty_one():
    asked = HttpRequest("GET", "/", {}, frozenset(), None)
    for request in (from_client(asked), from_envoy(asked, "/")):
        assert isinstance(request, Request)
        assert request.host == ""


def test_what_a_proxy_does_not_tell_or_tells_twice_is_named():
    nothing = HttpRequest("GET", "/", {"x-original-method": "GET"}, frozenset(), None)
    found = from_nginx(nothing)
    assert isinstance(found, Refusal)
    assert found.detail == "the proxy sends no x-original-host and no x-original-uri"
    twice = HttpRequest("GET", "/", NGINX, frozenset({"x-original-host", "x-mcp-server"}), None)
    found = from_nginx(twice)
    assert isinstance(found, Refusal)
    assert found.detail == "x-mcp-server and x-original-host occurs twice"


@pytest.mark.parametrize("missing", NGINX)
def test_nginx_must_tell_the_whole_original(client: Client, missing: str):
    told = {name: value for name, value in NGINX.items() if name != missing}
    answer = client.ask("/auth/nginx", {**told, **FORWARDED, **good()})
    assert (answer.status, header(answer, "x-extauthz-status")) == (403, "400")
    assert reason_in(answer.body) == "malformed_request"
    assert missing in client.last.detail


@pytest.mark.parametrize("missing", FORWARDED)
def test_a_forwarder_must_tell_the_whole_original(client: Client, missing: str):
    told = {name: value for name, value in FORWARDED.items() if name != missing}
    answer = client.ask("/auth/forward", {**told, **NGINX, **good()})
    assert (answer.status, reason_in(answer.body)) == (400, "malformed_request")


@pytest.mark.parametrize("twice", [*NGINX, "x-mcp-server"])
def test_nginx_must_not_tell_anything_twice(client: Client, twice: str):
    answer = client.ask("/auth/nginx", {**NGINX, **good()}, repeated=(twice,))
    assert (answer.status, header(answer, "x-extauthz-status")) == (403, "400")


@pytest.mark.parametrize("twice", FORWARDED)
def test_a_forwarder_must_not_tell_anything_twice(client: Client, twice: str):
    answer = client.ask("/auth/forward", {**FORWARDED, **good()}, repeated=(twice,))
    assert (answer.status, reason_in(answer.body)) == (400, "malformed_request")


def test_no_flavour_believes_anothers_headers(client: Client):
    """A client behind one proxy can write whatever another proxy would have written."""
    elsewhere = dict.fromkeys(FORWARDED, "/notes/health")
    answer = client.ask("/auth/nginx", {**NGINX, **elsewhere})
    assert answer.status == 401
    answer = client.ask("/auth/forward", {**FORWARDED, **dict.fromkeys(NGINX, "/notes/health")})
    assert answer.status == 401
    spoofed = {**elsewhere, **dict.fromkeys(NGINX, "/notes/health")}
    assert client.ask("/auth/envoy/notes/mcp", spoofed, method="POST").status == 401


def test_only_nginx_names_the_server(client: Client):
    named = {"x-mcp-server": "calculator", **good()}
    answer = client.ask("/auth/nginx", {**NGINX, **named})
    assert reason_in(answer.body) == "no_matching_server"
    assert client.ask("/auth/forward", {**FORWARDED, **named}).status == 200
    assert client.ask("/auth/envoy/notes/mcp", named, method="POST").status == 200
    assert client.ask("/auth/nginx", {**NGINX, **good(), "x-mcp-server": "notes"}).status == 200


def test_the_core_sees_no_header_of_the_question_itself(client: Client):
    own = {"connection": "x-auth-subject", "x-forwarded-for": "1.2.3.4", "accept": "x"}
    client.ask("/auth/nginx", {**NGINX, **own, **good()})
    request = client.observer.told[-1][0]
    assert request is not None
    assert set(request.headers) == {"accept", "authorization"}


def test_a_query_on_our_url_changes_nothing(client: Client):
    """Caddy appends the client's query to the URL it asks."""
    assert client.ask("/auth/forward?x=1", {**FORWARDED, **good()}).status == 200


# ---- nginx


@pytest.mark.parametrize("name", ["x_auth_subject", "x-auth-x", "x.user.email", "x-user_email"])
def test_who_cannot_remove_lookalikes_gets_a_refusal(client: Client, name: str):
    answer = client.ask("/auth/nginx", {**NGINX, **good(), name: "mallory"})
    assert header(answer, "x-extauthz-status") == "400"
    assert client.ask("/auth/forward", {**FORWARDED, **good(), name: "mallory"}).status == 400
    removed = client.ask("/auth/envoy/notes/mcp", {**good(), name: "mallory"}, method="POST")
    assert removed.status == 200


def test_nginx_overwrites_the_exact_names_itself(client: Client):
    spoofed = {"x-auth-subject": "mallory", "x-user-email": "mallory@example.com"}
    answer = client.ask("/auth/nginx", {**NGINX, **good(), **spoofed})
    assert (answer.status, header(answer, "x-auth-subject")) == (200, "alice")
    assert header(answer, "x-user-email") is None


def test_nginx_is_told_body_and_status_beside_a_401_too(client: Client):
    answer = client.ask("/auth/nginx", NGINX)
    assert (answer.status, header(answer, "x-extauthz-status")) == (401, "401")
    assert (header(answer, "x-extauthz-body") or "").encode() == answer.body
    assert (header(answer, "www-authenticate") or "").startswith("Bearer ")


def test_nginx_is_told_when_to_try_again(client: Client):
    client.keys.answers["corp"] = Reason.KEYS_UNAVAILABLE
    unknown = {"authorization": f"Bearer {mint(header={'kid': 'new'})}"}
    answer = client.ask("/auth/nginx", {**NGINX, **unknown})
    assert (answer.status, header(answer, "x-extauthz-status")) == (403, "503")
    assert header(answer, "retry-after")


def test_every_body_fits_a_header():
    for body in _BODIES.values():
        assert body.isascii()
        assert b"\n" not in body
        assert len(body) <= 1024


# ---- Envoy's HTTP flavour


def test_envoy_is_told_what_to_remove(client: Client):
    answer = client.ask(
        "/auth/envoy/notes/mcp", {**good(), "x_auth_subject": "mallory"}, method="POST"
    )
    removed = (header(answer, "x-envoy-auth-headers-to-remove") or "").split(",")
    assert {"authorization", "x_auth_subject", "x-user-email"} <= set(removed)
    assert "x-auth-subject" not in removed


def test_a_stream_has_a_lease_and_keeps_its_token(client: Client):
    token = good(aud="https://mcp.example.com/stream/mcp", exp=int(NOW) + 60)
    answer = client.ask("/auth/envoy/stream/mcp", token)
    assert header(answer, "x-envoy-upstream-rq-timeout-ms") == "60000"
    assert header(answer, "x-envoy-upstream-stream-duration-ms") == "60000"
    assert "authorization" not in (header(answer, "x-envoy-auth-headers-to-remove") or "")
    asked = {**NGINX, "x-original-uri": "/stream/mcp", **token}
    names = [name for name, _ in client.ask("/auth/nginx", asked).lines]
    assert not [name for name in names if name.startswith(b"x-envoy-")]


def test_the_path_is_judged_as_it_came(client: Client):
    for target in ("/auth/envoy//notes/mcp", "/auth/envoy/notes/../x", "/auth/envoy/notes%2fmcp"):
        assert reason_in(client.ask(target, good()).body) == "ambiguous_path"
    assert client.ask("/auth/envoy/notes/mcp?x=%2e%2e", good()).status == 200


def test_the_host_must_be_told_once(client: Client):
    answer = client.ask("/auth/envoy/notes/mcp", good(), repeated=("host",))
    assert (answer.status, reason_in(answer.body)) == (400, "malformed_request")
    assert client.ask("/auth/envoy/notes/mcp", {**good(), "host": ""}).status == 400


# ---- browsers and documents


def test_cors_headers_come_with_an_allow_and_with_a_refusal(client: Client):
    for asked, status in ((good(), 200), ({}, 401)):
        answer = client.ask("/auth/nginx", {**NGINX, **asked, "origin": ORIGIN})
        assert (answer.status, header(answer, "access-control-allow-origin")) == (status, ORIGIN)
        assert header(answer, "vary") == "Origin"


@pytest.mark.parametrize("host", ["mcp.example.com", "any.example.com"])
@pytest.mark.parametrize(
    "target",
    ["/auth/nginx", "/auth/forward", "/auth/envoy/notes/mcp", "/auth/x", "/auth/", "/auth/envoy"],
)
def test_under_auth_nothing_but_an_allow_is_2xx(client: Client, host: str, target: str):
    path = "/.well-known/oauth-protected-resource/notes/mcp"
    for method, asked, there in (("OPTIONS", PREFLIGHT, "/notes/mcp"), ("GET", {}, path)):
        told = {
            **NGINX,
            **FORWARDED,
            "x-original-method": method,
            "x-original-uri": there,
            "x-original-host": host,
            "x-forwarded-method": method,
            "x-forwarded-uri": there,
            "x-forwarded-host": host,
        }
        answer = client.ask(target, {**told, **asked, "host": host}, method=method)
        assert answer.status in (401, 403, 404)


def test_preflights_of_auth_requests_are_refused_as_no_ones(client: Client):
    asked = {**NGINX, "x-original-method": "OPTIONS", **PREFLIGHT}
    answer = client.ask("/auth/nginx", asked)
    assert (answer.status, reason_in(answer.body)) == (403, "no_matching_server")


@pytest.mark.parametrize(
    "target", ["/", "/auth", "/notes/mcp", "/notes/health", "/x?y", "*", "http://h/auth/nginx", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_nothing_but_documents_is_served_beside(client: Client, target: str, method: str):
    answer = client.ask(target, {**NGINX, **good()}, method=method)
    assert (answer.status, json.loads(answer.body)) == (404, {"error": "not_found"})
    assert not any(isinstance(decision, Allow) for _, decision, _ in client.observer.told)


def test_documents_need_no_trust_and_no_token(client: Client):
    target = "/.well-known/oauth-protected-resource/notes/mcp"
    answer = client.ask(target, {}, peer="192.0.2.1")
    assert answer.status == 200
    assert json.loads(answer.body)["resource"] == "https://mcp.example.com/notes/mcp"
    answer = client.ask("/notes/mcp", PREFLIGHT, method="OPTIONS", peer="192.0.2.1")
    assert (answer.status, answer.body) == (204, b"")


# ---- whatever happens


def test_what_breaks_behind_the_door_is_a_refusal(client: Client):
    door: Any = client.door
    door._authorizer = None
    for url in ("/auth/forward", "/auth/envoy/notes/mcp", "/x"):
        assert client.ask(url, {**NGINX, **FORWARDED, **good()}).status == 503
    answer = client.ask("/auth/nginx", {**NGINX, **FORWARDED, **good()})
    assert (answer.status, header(answer, "x-extauthz-status")) == (403, "503")


def test_each_request_is_told_once(client: Client):
    client.ask("/auth/nginx", {**NGINX, **good()})
    client.ask("/auth/nginx", NGINX)
    client.ask("/auth/nginx", {})
    client.ask("/auth/none", {})
    client.ask("/.well-known/oauth-protected-resource/notes/mcp", {})
    unknown = {"authorization": f"Bearer {mint(header={'kid': 'new'})}"}
    client.ask("/auth/nginx", {**NGINX, **unknown})
    assert [transport for _, _, transport in client.observer.told] == ["http"] * 6
