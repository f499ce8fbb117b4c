"""The decision alone, in this process: no socket, no protobuf, no log."""

from __future__ import annotations

import base64
import gc
import itertools
import json
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from world import HOST, Setup, World, in_turn, nginx_headers

from extauthz.adapters.envoy import to_response
from extauthz.config.compile import compile_policy
from extauthz.config.load import load
from extauthz.core.engine import Engine
from extauthz.core.keyset import KeySet, parse_key_set
from extauthz.core.model import Allow, Request
from extauthz.core.policy import Policy

_PORTS: Final = {"grpc": 1, "http": 2, "admin": 3}


@dataclass(slots=True)
class Decisions:
    """An engine of one policy and the keys for it, as a service would have them."""

    engine: Engine
    keys: dict[str, KeySet]

    @classmethod
    def of(cls, world: World, setup: Setup) -> Decisions:
        """Compiled from the very file that a service would read."""
        policy = compile_policy(load(str(world.config(setup, _PORTS)), environ={}))
        return cls(Engine(policy), key_sets(world, policy))

    def decide(self, request: Request) -> None:
        """Judge one request; it has to be allowed."""
        decision = self.engine.decide(request, self.keys, now=time.time())
        if not isinstance(decision, Allow):
            raise RuntimeError(f"not allowed: {decision}")


def reply_to(world: World) -> bytes:
    """What Envoy is answered when it asks about an allowed request, over gRPC."""
    decisions = Decisions.of(world, Setup())
    allow = decisions.engine.decide(request(world.token()), decisions.keys, now=time.time())
    if not isinstance(allow, Allow):
        raise TypeError(f"not allowed: {allow}")
    return to_response(allow).SerializeToString()


def key_sets(world: World, policy: Policy) -> dict[str, KeySet]:
    """The same keys for every issuer."""
    found = parse_key_set(world.jwks().read_bytes())
    return {issuer.name: found for issuer in policy.issuers}


def request(token: str, path: str = "/s0/mcp") -> Request:
    """A request by an MCP client with this token."""
    headers = nginx_headers(token, path)
    return Request(method="POST", host=HOST, target=path, headers=headers)


def _public(world: World) -> rsa.RSAPublicKey:
    private = world.key.private
    if not isinstance(private, rsa.RSAPrivateKey):
        raise TypeError("an RSA key was expected")
    return private.public_key()


def _raw_verify(world: World, token: str) -> Callable[[], object]:
    """The signature alone: cryptography's verify and nothing else."""
    signing_input, _, signature = token.rpartition(".")
    public = _public(world)
    message, raw = signing_input.encode(), base64.urlsafe_b64decode(signature + "==")
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    return lambda: public.verify(raw, message, scheme, digest)


def cached(world: World, *rows: tuple[Setup, int]) -> list[float]:
    """Tokens seen before, in µs each: so many callers in turn, spread over the servers.

    Each request is made just before it is judged, as a door makes it: of a thousand that lie
    ready in memory, few are in the processor's caches.
    """
    return _quartiles([_remembered(world, setup, callers) for setup, callers in rows], 2000)


def _remembered(world: World, setup: Setup, callers: int) -> Callable[[int], float]:
    decisions = Decisions.of(world, setup)
    asked = []
    for number in range(callers):
        server = number % setup.servers
        issuer = world.issuer(server % setup.issuers)
        token = world.token(aud=[world.resource(server)], iss=issuer, sub=f"user-{number}")
        asked.append((token, f"/s{server}/mcp"))
    for token, path in asked:
        decisions.decide(request(token, path))
    turns = itertools.cycle(asked)

    def judged(number: int) -> float:
        seconds = 0.0
        gc.disable()  # as timeit does
        for token, path in itertools.islice(turns, number):
            made = request(token, path)
            began = time.perf_counter()
            decisions.decide(made)
            seconds += time.perf_counter() - began
        gc.enable()
        return seconds

    return judged


def _quartiles(works: Sequence[Callable[[int], float]], number: int) -> list[float]:
    """What each takes in µs, if it takes so many seconds for that number of them.

    The first quartile of 60 rounds, in which they are done in turn.
    """
    rounds = in_turn(60, *(partial(work, number) for work in works))
    return [sorted(each)[len(each) // 4] / number * 1e6 for each in rounds]


def _bare(world: World, token: str) -> Callable[[], object]:
    """What taking a token apart and verifying it takes, where nothing in it is looked at."""
    public = _public(world)
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()

    def decode(part: str) -> bytes:
        return base64.urlsafe_b64decode(part + "==")

    def bare() -> None:
        header, claims, signature = token.split(".")
        json.loads(decode(header))
        json.loads(decode(claims))
        public.verify(decode(signature), f"{header}.{claims}".encode(), scheme, digest)

    return bare


def first_seen(world: World, size: int) -> list[float]:
    """A token never seen before, its raw signature, and the bare minimum, in µs each."""
    decisions = Decisions.of(world, Setup(cache_entries=0))
    token = world.token(size)
    one = request(token)
    decisions.decide(one)
    works = (lambda: decisions.decide(one), _raw_verify(world, token), _bare(world, token))
    return _quartiles([timeit.Timer(work).timeit for work in works], 1000)
