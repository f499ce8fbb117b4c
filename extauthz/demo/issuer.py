"""A small OAuth issuer on loopback, for the demo and for tests.

It has real keys, both kinds of discovery document, a JWKS and a token endpoint, and it
can be made to fail in the ways that issuers fail. In a test:

    with Issuer() as issuer:
        token = issuer.mint(aud="https://mcp.example.com/mcp", scope="read", ttl=60)
        issuer.faults["keys"] = Fault.GARBAGE
        issuer.rotate()
        assert issuer.counts["keys"] == 1

As a program: ``python -m extauthz.demo.issuer --port 9000``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self

from .answers import Answer, Fault, as_json, read_body, write, write_faulty
from .grants import Clients, Refused, judge
from .minting import SigningKey, signed, without_none
from .serving import LOOPBACK, LoopbackServer, Message, Receive, Send, free_port

__all__ = ["Endpoint", "Fault", "Form", "Issuer"]

Endpoint = Literal["discovery", "keys", "token", "rotate"]
Form = Literal["oidc", "oauth", "oidc_inserted"]


class Issuer:
    """An issuer whose identifier is ``http://127.0.0.1:{port}{path}``.

    Arguments:
        path: path of the issuer identifier, such as ``/realms/acme``; empty for none.
        port: 0 picks a free one.
        algorithms: one key is made for each (`extauthz.demo.minting.ALGORITHMS`).
        clients: client ids and secrets that the token endpoint knows.
        scopes, resources: what clients may ask for; None for anything.
        clock: seconds since the epoch, for ``iat`` and ``exp``.
        tls: a PEM certificate for 127.0.0.1 and its key; the issuer is then ``https://``.

    Change any public attribute at any time; the next request sees it.
    """

    def __init__(
        self,
        *,
        path: str = "",
        port: int = 0,
        algorithms: Sequence[str] = ("RS256", "ES256"),
        clients: Mapping[str, str] | None = None,
        scopes: Sequence[str] | None = None,
        resources: Sequence[str] | None = None,
        clock: Callable[[], float] = time.time,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.origin = f"{'https' if tls else 'http'}://{LOOPBACK}:{self.port}"
        self.url = self.origin + path
        self.jwks_uri = f"{self.url}/jwks"
        self.token_endpoint = f"{self.url}/token"
        self.keys = [SigningKey.generate(alg) for alg in algorithms]
        """The keys that sign now, one per algorithm."""
        self.previous_keys: list[SigningKey] = []
        """Keys that are still published and sign no more."""
        self.extra_jwks: list[Mapping[str, object]] = []
        """Further members of the JWKS, as odd as you like."""
        self.forms: set[Form] = {"oidc", "oauth", "oidc_inserted"}
        """Which discovery URLs exist: OIDC, RFC 8414, and OIDC written as RFC 8414 does."""
        self.metadata: dict[str, object] = {}
        """Changes to the discovery document; None takes a member away."""
        self.cache_control: str | None = None
        """Cache-Control of the JWKS."""
        self.etag = False
        """Whether the JWKS has an ETag and If-None-Match is answered with 304."""
        self.faults: dict[Endpoint, Fault] = {}
        self.delay = 30.0
        self.redirect_to = "http://redirect.invalid/"
        self.big_bytes = 2 * 1024 * 1024
        self.counts: Counter[str] = Counter()
        """Requests by `Endpoint`, faulty ones too; ``not_modified`` counts the 304s."""
        self.token_ttl = 300.0
        """Seconds that a token of the token endpoint lives."""
        self._clients = Clients(
            secrets=dict(clients or {}),
            scopes=scopes,
            resources=resources,
            default_resource=self.url,
        )
        self._path, self._clock = path, clock
        self._server = LoopbackServer(self._application, self.port, tls=tls)

    def start(self) -> Self:
        """Listen. Raises OSError when the port is taken."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Refuse connections until `start` is called again; keys and counts stay."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def key(self, alg: str) -> SigningKey:
        """The key that signs with ``alg`` now. Raises ValueError when there is none."""
        for key in self.keys:
            if key.alg == alg:
                return key
        have = ", ".join(key.alg for key in self.keys)
        raise ValueError(f"this issuer has no key for {alg!r}, only for {have}")

    def mint(
        self,
        *,
        alg: str | None = None,
        ttl: float = 300.0,
        headers: Mapping[str, object] | None = None,
        key: SigningKey | None = None,
        **claims: object,
    ) -> str:
        """An RFC 9068 access token with whatever is asked to be different.

        ``claims`` add to or replace iss, sub, client_id, iat, exp and jti; there is no
        ``aud`` unless given. ``headers`` do the same for alg, kid and typ. None takes a
        default away. ``ttl`` is in seconds from now and may be negative. The issuer's key
        for ``alg`` signs, without ``alg`` its first one, or else ``key``.
        """
        now = int(self._clock())
        defaults = {
            "iss": self.url,
            "sub": "demo-subject",
            "client_id": "demo-client",
            "iat": now,
            "exp": now + int(ttl),
            "jti": secrets.token_hex(8),
        }
        return signed(
            key or (self.key(alg) if alg else self.keys[0]),
            without_none({**defaults, **claims}),
            {"typ": "at+jwt", **(headers or {})},
        )

    def rotate(self, *, keep_previous: bool = True) -> None:
        """Sign with new keys from now on.

        The keys they replace stay in the JWKS, and the ones before those leave it; with
        ``keep_previous=False`` only the new keys are published.
        """
        fresh = [SigningKey.generate(key.alg) for key in self.keys]
        self.previous_keys = self.keys if keep_previous else []
        self.keys = fresh

    def jwks(self) -> dict[str, object]:
        """The RFC 7517 key set that is published now."""
        keys = [key.public_jwk() for key in (*self.keys, *self.previous_keys)]
        return {"keys": [*keys, *self.extra_jwks]}

    def discovery(self) -> dict[str, object]:
        """The metadata of RFC 8414 section 2 and OpenID Connect Discovery section 3."""
        scopes = self._clients.scopes
        document: dict[str, object] = {
            "issuer": self.url,
            "jwks_uri": self.jwks_uri,
            "token_endpoint": self.token_endpoint,
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [key.alg for key in self.keys],
            "scopes_supported": sorted(scopes) if scopes else None,
        }
        return without_none({**document, **self.metadata})

    # ---- the HTTP side ----------------------------------------------------------------

    async def _application(self, scope: Message, receive: Receive, send: Send) -> None:
        endpoint = self._endpoint(scope["method"], scope["path"])
        if endpoint is None:
            await write(send, as_json({"error": "not_found"}, status=404))
            return
        self.counts[endpoint] += 1
        fault = self.faults.get(endpoint)
        answer = await self._answer(endpoint, fault, scope, receive)
        if fault is None:
            await write(send, answer)
        else:
            await write_faulty(
                send,
                fault,
                answer,
                delay=self.delay,
                redirect_to=self.redirect_to,
                big_bytes=self.big_bytes,
            )

    def _endpoint(self, method: str, path: str) -> Endpoint | None:
        discovery: dict[Form, str] = {
            "oidc": f"{self._path}/.well-known/openid-configuration",
            "oidc_inserted": f"/.well-known/openid-configuration{self._path}",
            "oauth": f"/.well-known/oauth-authorization-server{self._path}",
        }
        if method == "GET" and path in {discovery[form] for form in self.forms}:
            return "discovery"
        known: dict[tuple[str, str], Endpoint] = {
            ("GET", f"{self._path}/jwks"): "keys",
            ("POST", f"{self._path}/token"): "token",
            ("POST", f"{self._path}/rotate"): "rotate",
        }
        return known.get((method, path))

    async def _answer(
        self, endpoint: Endpoint, fault: Fault | None, scope: Message, receive: Receive
    ) -> Answer:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        match endpoint:
            case "discovery":
                document = self.discovery()
                if fault is Fault.WRONG_ISSUER:
                    document["issuer"] = "https://another-issuer.invalid"
                return as_json(document)
            case "keys":
                return self._key_set(headers.get("if-none-match"), empty=fault is Fault.NO_KEYS)
            case "token":
                return self._token(headers.get("authorization"), await read_body(receive))
            case "rotate":
                if not ip_address(scope["client"][0]).is_loopback:
                    return as_json({"error": "access_denied"}, status=403)
                self.rotate()
                return as_json({"kids": [key.kid for key in self.keys]})

    def _key_set(self, if_none_match: str | None, *, empty: bool) -> Answer:
        body = json.dumps({"keys": []} if empty else self.jwks()).encode()
        headers = {"content-type": "application/json"}
        if self.cache_control is not None:
            headers["cache-control"] = self.cache_control
        if self.etag:
            headers["etag"] = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            if if_none_match == headers["etag"]:
                self.counts["not_modified"] += 1
                return Answer(status=304, headers=headers)
        return Answer(headers=headers, body=body)

    def _token(self, authorization: str | None, body: bytes | None) -> Answer:
        if body is None:
            return as_json({"error": "invalid_request"}, status=413)
        outcome = judge(self._clients, authorization, body)
        if isinstance(outcome, Refused):
            problem = {"error": outcome.error, "error_description": outcome.description}
            challenge = {"www_authenticate": "Basic"} if outcome.status == 401 else {}
            return as_json(problem, status=outcome.status, cache_control="no-store", **challenge)
        token = self.mint(
            ttl=self.token_ttl,
            sub=outcome.client_id,
            client_id=outcome.client_id,
            aud=outcome.audience,
            scope=outcome.scope or None,
        )
        granted: dict[str, object] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.token_ttl),
            "scope": outcome.scope or None,
        }
        return as_json(without_none(granted), cache_control="no-store")


def _secret_in(file: str) -> str:
    """The client secret in a file. Raises ArgumentTypeError where there is none."""
    try:
        secret = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise argparse.ArgumentTypeError(f"cannot read {file}: {why}") from error
    if not secret:
        raise argparse.ArgumentTypeError(
            f"{file} is empty; write the client's secret into it, any text that is hard to guess"
        )
    return secret


def main() -> None:
    """Run an issuer with one client until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m extauthz.demo.issuer", description="An OAuth issuer for trying things out."
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--path", default="", help="path of the issuer identifier")
    parser.add_argument("--client-id", default="demo-client")
    parser.add_argument(
        "--client-secret-file",
        type=_secret_in,
        dest="secret",
        required=True,
        metavar="FILE",
        help="file that holds the client secret",
    )
    arguments = parser.parse_args()
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    clients = {arguments.client_id: arguments.secret}
    with Issuer(port=arguments.port, path=arguments.path, clients=clients) as issuer:
        print(issuer.url, flush=True)
        signal.sigwait(stop)


if __name__ == "__main__":
    main()
