"""The job that every authorizer gets, and whether it does it.

Allow a token of RS256, of one issuer, for one audience, with one scope, and send three of its
claims to the backend as headers; refuse every token that is wrong in one respect.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import grpc
from edges import SEEN, client_headers
from world import CHECK_PATH, World, check_request

from extauthz._pb.external_auth_pb2 import CheckResponse
from extauthz.demo.minting import SigningKey

SCOPE: Final = "mcp.read"
SCOPES: Final = ["openid", "profile", SCOPE, "mcp.write"]
CLAIMS: Final = {"x-auth-subject": "sub", "x-auth-client-id": "client_id", "x-auth-token-id": "jti"}


@dataclass(frozen=True, slots=True)
class Seen:
    """How an authorizer answered: whether it allowed, and the headers that it added."""

    allowed: bool
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The tokens. With ``as_list`` the scopes are an array, ``scp``."""

    world: World
    as_list: bool = False

    def good(self) -> str:
        """The one token to be allowed."""
        return self._token()

    def bad(self) -> dict[str, str]:
        """Tokens to be refused, by what is wrong with them."""
        now = int(time.time())
        other = SigningKey.generate("RS256", kid=self.world.key.kid)
        return {
            "another key": self._token(other),
            "another issuer": self._token(iss="https://other.example.com"),
            "another audience": self._token(aud=["https://other.example.com/mcp"]),
            "no such scope": self._token(scopes=["openid", "mcp.write"]),
            "expired": self._token(iat=now - 7200, exp=now - 3600),
        }

    def _token(
        self, key: SigningKey | None = None, scopes: list[str] = SCOPES, **changes: object
    ) -> str:
        claims = self.world.claims(1024, scope=" ".join(scopes), **changes)
        if self.as_list:
            claims = {**claims, "scp": scopes}
            del claims["scope"]
        return self.world.sign(claims, key)


def fails(job: Job, ask: Callable[[str], Seen]) -> str | None:
    """What an authorizer does wrong in this job, or None."""
    claims = job.world.claims()
    seen = ask(job.good())
    if not seen.allowed:
        return "it refuses the good token"
    for header, claim in CLAIMS.items():
        if seen.headers.get(header) != claims[claim]:
            return f"it does not send {header}"
    wrong = [name for name, token in job.bad().items() if ask(token).allowed]
    return f"it allows: {', '.join(wrong)}" if wrong else None


def through_edge(port: int) -> Callable[[str], Seen]:
    """Ask by a request through a proxy; what its backend got is what was added."""

    def ask(token: str) -> Seen:
        asked = Request(f"http://127.0.0.1:{port}{SEEN}", headers=client_headers(token))
        try:
            with urlopen(asked, timeout=5) as answer:  # noqa: S310
                return Seen(allowed=True, headers=json.load(answer))
        except HTTPError as refusal:
            if refusal.code in (401, 403):
                return Seen(allowed=False)
            raise RuntimeError(f"it answers {refusal.code}") from refusal

    return ask


def by_grpc(port: int) -> Callable[[str], Seen]:
    """Ask by a Check call, as the load generator does."""

    def ask(token: str) -> Seen:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, CheckResponse] = channel.unary_unary(
                CHECK_PATH, response_deserializer=CheckResponse.FromString
            )
            answer = call(check_request(token, raw=False), timeout=5)
        added = answer.ok_response.headers
        return Seen(
            allowed=answer.status.code == 0 and not answer.HasField("denied_response"),
            headers={
                one.header.key.lower(): one.header.value or one.header.raw_value.decode()
                for one in added
            },
        )

    return ask


@contextlib.contextmanager
def backend() -> Iterator[int]:
    """A server that answers with the header lines it got, as JSON; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
