"""The table of what issuers do to us: name, how it is made, what clients see, what operators read.

An issuer is a path on a rude server. Each row is made twice: on an issuer whose keys are known,
and on one that was never better.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from extauthz.demo.minting import SigningKey
from tests.keys.rough_server import Page, RoughServer, answer, hang, rough_server
from tests.tokens import jwks, mint, signer

METADATA: Final = "/.well-known/openid-configuration"
UNAVAILABLE: Final = "keys_unavailable"
LINK_LOCAL: Final = "169.254.169.254"


@dataclass
class OddIssuer:
    """One issuer on the rude server, with a key that signs and is published."""

    server: RoughServer
    name: str
    key: SigningKey
    next_key: SigningKey

    @property
    def url(self) -> str:
        return f"{self.server.origin}/{self.name}"

    def metadata(self, **changes: Any) -> bytes:
        members = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **changes}
        return json.dumps(members).encode()

    def key_set(self) -> bytes:
        return json.dumps(jwks(self.key, self.next_key)).encode()

    def be_good(self, *keys: SigningKey) -> None:
        """Publish ``keys``, or the first one."""
        self.put(METADATA, answer(self.metadata()))
        self.put("/keys", answer(json.dumps(jwks(*(keys or (self.key,)))).encode()))

    def put(self, path: str, page: Page) -> None:
        self.server.pages[f"/{self.name}{path}"] = page

    def rotate(self) -> SigningKey:
        """Publish a new key beside the first one."""
        fresh = SigningKey.generate("ES256")
        self.be_good(self.key, fresh)
        return fresh

    def token(self, key: SigningKey | None = None, **claims: object) -> str:
        """A token that is good for an hour by the clock of the machine."""
        return mint({"iss": self.url, **claims}, key=key or self.key, now=time.time())


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row.

    ``make`` does it to an issuer. ``told`` is a pattern of what operators read then.
    ``new_key`` is what a token sees that is signed with a key published together with the
    fault. ``metadata`` tells that it is not the keys that are at fault: once known, they are
    fetched from where they were.
    """

    name: str
    make: Callable[[OddIssuer], None]
    told: str
    new_key: str = UNAVAILABLE
    metadata: bool = False


def keys(page: Callable[[OddIssuer], Page]) -> Callable[[OddIssuer], None]:
    return lambda issuer: issuer.put("/keys", page(issuer))


def metadata(page: Callable[[OddIssuer], Page]) -> Callable[[OddIssuer], None]:
    return lambda issuer: issuer.put(METADATA, page(issuer))


def trickle(issuer: OddIssuer) -> Page:
    async def one_by_one(writer: asyncio.StreamWriter) -> None:
        for byte in answer(issuer.key_set()):
            await issuer.server.send(writer, bytes([byte]))
            await asyncio.sleep(0.05)

    return one_by_one


def pour(megabytes: int, length: bool) -> Callable[[OddIssuer], Page]:
    def page(issuer: OddIssuer) -> Page:
        async def pouring(writer: asyncio.StreamWriter) -> None:
            said = b"Content-Length: %d\r\n" % (megabytes << 20) if length else b""
            await issuer.server.send(
                writer, b"HTTP/1.1 200 OK\r\nConnection: close\r\n%b\r\n" % said
            )
            for _ in range(megabytes):
                await issuer.server.send(writer, b" " * (1 << 20))

        return pouring

    return page


def bomb(issuer: OddIssuer) -> Page:
    body = gzip.compress(b" " * (50 << 20) + issuer.key_set())
    return answer(body, "Content-Encoding: gzip", "Content-Type: application/json")


def moved(to: str) -> Callable[[OddIssuer], Page]:
    return lambda issuer: answer(
        b"", "Location: " + to.format(url=issuer.url, port=issuer.server.port), status="302 Found"
    )


def many_keys(issuer: OddIssuer) -> Page:
    one = signer("EdDSA").public_jwk()
    few = {name: one[name] for name in ("kty", "crv", "x")}
    odd = [{**few, "kid": str(number)} for number in range(10_000)]
    return answer(json.dumps({"keys": [issuer.next_key.public_jwk(), *odd]}).encode())


FAULTS: Final = (
    Fault(name="hangs", make=keys(lambda _: hang), told="no complete answer"),
    Fault(name="trickles", make=keys(trickle), told="no complete answer"),
    Fault(name="sends 50 MB", make=keys(pour(50, length=False)), told="larger than"),
    Fault(name="says that 50 MB come", make=keys(pour(50, length=True)), told="larger than"),
    Fault(name="sends a gzip bomb", make=keys(bomb), told="compressed"),
    Fault(
        name="sends keys as a web page",
        make=keys(lambda one: answer(one.key_set(), "Content-Type: text/html")),
        told="",
        new_key="allow",
    ),
    Fault(
        name="sends a web page",
        make=keys(lambda _: answer(b"<html></html>", "Content-Type: text/html")),
        told="it is a web page",
    ),
    Fault(name="sends 10,000 keys", make=keys(many_keys), told="at most 1000"),
    Fault(name="sends no keys", make=keys(lambda _: answer(b'{"keys":[]}')), told="no keys in it"),
    Fault(name="sends nothing", make=keys(lambda _: answer(b"")), told="not JSON"),
    Fault(
        name="sends half a document",
        make=keys(lambda one: answer(one.key_set()[:-40])),
        told="not JSON",
    ),
    Fault(
        name="breaks off",
        make=keys(lambda one: answer(one.key_set()[:-40], length=len(one.key_set()))),
        told="broke off",
    ),
    Fault(
        name="sends status 500",
        make=keys(lambda one: answer(one.key_set(), status="500 Internal Server Error")),
        told="status 500",
    ),
    Fault(
        name="asks to come back in a year",
        make=keys(
            lambda one: answer(
                one.key_set(), "Retry-After: 31536000", status="429 Too Many Requests"
            )
        ),
        told="status 429",
    ),
    Fault(
        name="sends metadata for keys",
        make=keys(lambda one: answer(one.metadata())),
        told="not a JWK set",
    ),
    Fault(
        name="redirects to another host",
        make=keys(moved("http://localhost:{port}/elsewhere/keys")),
        told="redirects elsewhere",
    ),
    Fault(
        name="redirects to a link-local address",
        make=keys(moved(f"http://{LINK_LOCAL}/latest/meta-data/")),
        told="redirects elsewhere",
    ),
    Fault(
        name="redirects to a file",
        make=keys(moved("file:///etc/passwd")),
        told="redirects elsewhere",
    ),
    Fault(name="redirects in a circle", make=keys(moved("{url}/keys")), told="redirects"),
    Fault(
        name="sends another issuer's metadata",
        make=metadata(lambda one: answer(one.metadata(issuer="https://other.example.com"))),
        told="byte for byte",
        metadata=True,
    ),
    Fault(
        name="names keys at a link-local address",
        make=metadata(lambda one: answer(one.metadata(jwks_uri=f"http://{LINK_LOCAL}/keys"))),
        told="jwks_uri is not used",
        metadata=True,
    ),
    Fault(
        name="sends half its metadata",
        make=metadata(lambda one: answer(one.metadata()[:-9])),
        told="not JSON",
        metadata=True,
    ),
    Fault(
        name="never shows its metadata",
        make=metadata(lambda _: hang),
        told="no complete answer|took too long",
        metadata=True,
    ),
)


@contextmanager
def rude_server(tls: ssl.SSLContext | None = None) -> Iterator[RoughServer]:
    """A rude server with an event loop of its own, until the block ends."""
    started, ended = threading.Event(), asyncio.Event()
    made: list[tuple[RoughServer, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with rough_server(tls) as server:
            server.origin = server.origin.replace("localhost", "127.0.0.1")
            made.append((server, asyncio.get_running_loop()))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="rude issuers")
    thread.start()
    assert started.wait(10)
    server, loop = made[0]
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)


def odd_issuer(server: RoughServer, name: str) -> OddIssuer:
    """An issuer that is good for now."""
    keys = (SigningKey.generate("ES256") for _ in range(2))
    issuer = OddIssuer(server, name, *keys)
    issuer.be_good()
    return issuer


def configured(issuer: OddIssuer, **keys_settings: str) -> dict[str, Any]:
    """Its part of the configuration: refreshed every second, and at once for a new key."""
    settings = {"refresh": "1s", "cooldown": "10ms", "timeout": "5s", **keys_settings}
    return {"name": issuer.name, "issuer": issuer.url, "keys": settings}
