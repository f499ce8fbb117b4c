"""What every measurement is about: issuers, keys, tokens, a configuration, and one CheckRequest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trustme

from extauthz._pb.external_auth_pb2 import CheckRequest
from extauthz.demo.minting import SigningKey, compact

HOST: Final = "mcp.example.com"
CHECK_PATH: Final = "/envoy.service.auth.v3.Authorization/Check"

_RS256_BYTES: Final = 256

# What Envoy passes on of a request by an MCP client, its own additions among them.
_HEADERS: Final = {
    ":authority": HOST,
    ":method": "POST",
    ":scheme": "https",
    "accept": "application/json, text/event-stream",
    "accept-encoding": "gzip, deflate",
    "content-type": "application/json",
    "content-length": "143",
    "user-agent": "python-mcp/2.3",
    "mcp-protocol-version": "2025-11-25",
    "mcp-session-id": "1868a90c5c5f4d8e9d0e6a4b7f2f7c55",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-proto": "https",
    "x-request-id": "6b7e5f0c-5a5e-4f4f-9c3c-3f2b5e7a9d11",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One way to configure the service; the defaults are its own but for quiet allows."""

    servers: int = 1
    issuers: int = 1
    cache_entries: int = 100_000
    transport: str = "grpcio"
    tls: bool = False
    workers: int = 1
    allow_sample: float = 0.0
    issuer_url: str = ""
    more: str = ""


@dataclass(slots=True)
class World:
    """Keys and files of one run, in ``folder``."""

    folder: Path
    issuers_at: str = "https://idp.example.com"
    key: SigningKey = field(default_factory=lambda: SigningKey.generate("RS256", kid="bench-1"))
    light_key: SigningKey = field(
        default_factory=lambda: SigningKey.generate("EdDSA", kid="bench-2")
    )

    def issuer(self, number: int = 0) -> str:
        """The identifier of an issuer."""
        return f"{self.issuers_at}/realms/r{number}"

    def resource(self, number: int = 0) -> str:
        """The URL of an MCP server."""
        return f"https://{HOST}/s{number}/mcp"

    def claims(self, size: int = 1024, **changes: object) -> dict[str, object]:
        """Claims that make an RS256 token of ``size`` bytes, or up to three fewer."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.issuer(),
            "sub": "248289761001",
            "aud": [self.resource(), "https://api.example.com"],
            "client_id": "inspector",
            "scope": "openid profile mcp.read mcp.write",
            "iat": now - 10,
            "exp": now + 86_400,
            "jti": "0f8fad5b-d9cb-469f-a165-70867728950e",
            **changes,
        }
        missing = size - self._length(claims)
        groups = [f"group-{number:04d}" for number in range(max(0, missing * 3 // 4 - 12) // 13)]
        if groups:
            claims["groups"] = groups
            # All are of one length, that none costs its digest a block more than another.
            groups[-1] += "x" * ((size - self._length(claims)) * 3 // 4)
        return claims

    def _length(self, claims: dict[str, object]) -> int:
        header = {"alg": self.key.alg, "kid": self.key.kid, "typ": "at+jwt"}
        return len(compact(header, claims, lambda _: bytes(_RS256_BYTES)))

    def sign(self, claims: dict[str, object], key: SigningKey | None = None) -> str:
        """A token of these claims."""
        key = key or self.key
        return compact({"alg": key.alg, "kid": key.kid, "typ": "at+jwt"}, claims, key.sign)

    def token(self, size: int = 1024, **changes: object) -> str:
        """A good token of about ``size`` bytes."""
        return self.sign(self.claims(size, **changes))

    def jwks(self) -> Path:
        """The file with the public keys."""
        file = self.folder / "jwks.json"
        keys = [self.key.public_jwk(), self.light_key.public_jwk()]
        file.write_text(json.dumps({"keys": keys}))
        return file

    def grpc_tls(self) -> str:
        """The lines that make the gRPC door one with TLS."""
        pair = self.folder / "cert.pem", self.folder / "key.pem"
        issued = trustme.CA().issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(str(pair[0]))
        issued.private_key_pem.write_to_path(str(pair[1]))
        return f"  grpc_tls: {{cert_file: {pair[0]}, key_file: {pair[1]}}}\n"

    def config(self, setup: Setup, ports: dict[str, int]) -> Path:
        """The service's file for ``setup``."""
        text = f"""\
version: 1
listen:
  grpc: 127.0.0.1:{ports["grpc"]}
  http: 127.0.0.1:{ports["http"]}
  admin: 127.0.0.1:{ports["admin"]}
  grpc_transport: {setup.transport}
{self.grpc_tls() if setup.tls else ""}\
workers: {setup.workers}
drain: 0s
tokens: {{cache_entries: {setup.cache_entries}}}
log: {{allow_sample: {setup.allow_sample}}}
{setup.more}issuers:
"""
        jwks = self.jwks()
        for number in range(setup.issuers):
            if setup.issuer_url:
                text += f"  - {{name: r{number}, issuer: {setup.issuer_url}}}\n"
            else:
                where = f"issuer: {self.issuer(number)}, jwks_file: {jwks}"
                text += f"  - {{name: r{number}, {where}}}\n"
        text += "servers:\n"
        for number in range(setup.servers):
            text += (
                f"  - {{name: s{number}, resource: {self.resource(number)}, scopes: [mcp.read],"
                f" issuers: [r{number % setup.issuers}]}}\n"
            )
        # One for each service: one that changes under a service is read anew.
        file = self.folder / f"extauthz-{ports['grpc']}.yaml"
        file.write_text(text)
        return file


def check_request(token: str, path: str = "/s0/mcp", *, raw: bool = True) -> bytes:
    """A CheckRequest as Envoy sends it, with its header lines raw or as a map."""
    message = CheckRequest()
    attributes = message.attributes
    attributes.source.address.socket_address.address = "203.0.113.7"
    attributes.source.address.socket_address.port_value = 51966
    attributes.destination.address.socket_address.address = "10.0.0.4"
    attributes.destination.address.socket_address.port_value = 8443
    attributes.request.time.GetCurrentTime()
    http = attributes.request.http
    http.id, http.method, http.path, http.host = "1234567890123456789", "POST", path, HOST
    http.scheme, http.protocol, http.size = "https", "HTTP/1.1", 143
    for name, value in {**_HEADERS, ":path": path, "authorization": f"Bearer {token}"}.items():
        if raw:
            http.header_map.headers.add(key=name, raw_value=value.encode())
        else:
            http.headers[name] = value
    return message.SerializeToString()


def grpc_frame(message: bytes) -> bytes:
    """A message as it stands in the body of a gRPC call."""
    return b"\0" + len(message).to_bytes(4) + message


def nginx_headers(token: str, path: str = "/s0/mcp") -> dict[str, str]:
    """The header lines of a question at ``/auth/nginx``."""
    asked = {name: value for name, value in _HEADERS.items() if not name.startswith(":")}
    del asked["content-length"]
    return {
        **asked,
        "x-original-uri": path,
        "x-original-method": "POST",
        "x-original-host": HOST,
        "authorization": f"Bearer {token}",
    }


def in_turn(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Call the measures one after the other, several rounds, so that drift meets all alike."""
    results: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for measure, found in zip(measures, results, strict=True):
            found.append(measure())
    return results
