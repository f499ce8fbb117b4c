"""A refusal as the client sees it: status, challenge and body, the same for every proxy.

RFC 6750 section 3, RFC 9728 section 5.1, contract section 8. The text is deterministic:
clients compare challenges to see whether logging in again would help.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .model import Call, Deny, Headers, Reason, Refusal, Request
from .policy import Server
from .verified import VerifiedToken

RETRY_AFTER_SECONDS: Final = 5
JSON_RPC_CODE: Final = -32010


class _Challenge(Enum):
    NONE = None
    BARE = ""
    INVALID_TOKEN = "invalid_token"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    INVALID_REQUEST = "invalid_request"


@dataclass(frozen=True, slots=True)
class _Shape:
    status: int
    code: str
    challenge: _Challenge
    message: str
    hint: str


_TOKEN = "TOKEN_VALIDATION_ERROR"
_DENIED = "INSUFFICIENT_PERMISSIONS"
_REQUEST = "INVALID_REQUEST"


def _bad_token(message: str, hint: str) -> _Shape:
    return _Shape(401, _TOKEN, _Challenge.INVALID_TOKEN, message, hint)


def _denied(message: str, hint: str) -> _Shape:
    return _Shape(403, _DENIED, _Challenge.NONE, message, hint)


def _bad_request(message: str, hint: str) -> _Shape:
    return _Shape(400, _REQUEST, _Challenge.NONE, message, hint)


_SHAPES: Final[dict[Reason, _Shape]] = {
    Reason.MISSING_TOKEN: _Shape(
        401,
        "TOKEN_MISSING",
        _Challenge.BARE,
        "An access token is required",
        "Send it as 'Authorization: Bearer <token>'.",
    ),
    Reason.MALFORMED_TOKEN: _bad_token(
        "The access token is malformed", "Send a signed JWT as the issuer issued it."
    ),
    Reason.TOKEN_TOO_LARGE: _bad_token(
        "The access token is too large", "Ask the issuer for a token with fewer claims."
    ),
    Reason.UNSUPPORTED_ALGORITHM: _bad_token(
        "The access token is not signed with an accepted algorithm",
        "The issuer must sign with an asymmetric algorithm that this server accepts.",
    ),
    Reason.UNKNOWN_ISSUER: _bad_token(
        "The access token was issued by somebody else",
        "Get a token from the authorization server named in the resource metadata.",
    ),
    Reason.UNKNOWN_KEY: _bad_token(
        "The access token was signed with an unknown key", "Get a new token."
    ),
    Reason.BAD_SIGNATURE: _bad_token(
        "The signature of the access token does not verify", "Get a new token."
    ),
    Reason.WRONG_TOKEN_TYPE: _bad_token(
        "The token is not an access token", "Send the access token, not another kind."
    ),
    Reason.WRONG_AUDIENCE: _bad_token(
        "The access token was issued for another resource",
        "Ask for a token with this server's URL as 'resource' (RFC 8707).",
    ),
    Reason.TOKEN_EXPIRED: _bad_token("The access token has expired", "Get a new token."),
    Reason.TOKEN_NOT_YET_VALID: _bad_token(
        "The access token is not valid yet", "Check the clock of the issuer."
    ),
    Reason.MISSING_CLAIM: _bad_token(
        "The access token lacks a required claim", "The issuer must add it."
    ),
    Reason.REVOKED: _bad_token("The access token was revoked", "Log in again."),
    Reason.BINDING_MISMATCH: _bad_token(
        "The access token is bound to a key", "Get a bearer token without 'cnf'."
    ),
    Reason.INSUFFICIENT_SCOPE: _Shape(
        403,
        _DENIED,
        _Challenge.INSUFFICIENT_SCOPE,
        "The access token lacks a scope for this operation",
        "Ask for the scopes named in the challenge.",
    ),
    Reason.DENIED_BY_RULE: _denied(
        "This operation is not permitted", "More scopes will not help; ask the operator."
    ),
    Reason.UNVERIFIED_CALL: _denied(
        "The call could not be verified",
        "The gateway must see which method is called; ask the operator.",
    ),
    Reason.BAD_ORIGIN: _denied("This Origin is not allowed", "Ask the operator to add it."),
    Reason.NO_MATCHING_SERVER: _denied(
        "No server is configured for this address", "Check the URL."
    ),
    Reason.UNTRUSTED_PROXY: _denied(
        "The request did not come through a trusted proxy",
        "The operator must list the proxy in listen.trusted_proxies.",
    ),
    Reason.MALFORMED_REQUEST: _bad_request(
        "The request is malformed", "Send one well-formed MCP request."
    ),
    Reason.AMBIGUOUS_PATH: _bad_request(
        "The path is ambiguous", "Send it without dot segments, '//' and unusual escapes."
    ),
    Reason.BATCH_REFUSED: _bad_request(
        "JSON-RPC batches are refused", "Send one message per request."
    ),
    Reason.SOURCE_MISMATCH: _bad_request(
        "Headers and message name different calls",
        "Mcp-Method and Mcp-Name must repeat what the body says.",
    ),
    Reason.KEYS_UNAVAILABLE: _Shape(
        503,
        "JWKS_ERROR",
        _Challenge.NONE,
        "The issuer's keys are unavailable",
        "The token may be good; try again later.",
    ),
}


def scope_text(scopes: Iterable[str]) -> str:
    """Scopes as one ``scope`` value (RFC 6750 section 3)."""
    return " ".join(scopes)


class Challenger:
    """Builds the refusals of one server; those that never change are built once."""

    def __init__(self, server: Server | None, metadata_url: str | None) -> None:
        self._server = server
        self._metadata_url = metadata_url
        scopes = () if server is None else server.scopes
        self._fixed = {reason: self._challenge(reason, scopes) for reason in Reason}

    def deny(
        self,
        refusal: Refusal,
        request: Request | None,
        *,
        scopes: tuple[str, ...] | None = None,
        credentials_at_fault: bool = False,
        client_headers: Headers = (),
        token: VerifiedToken | None = None,
        call: Call | None = None,
    ) -> Deny:
        """The whole answer for ``refusal``.

        ``scopes`` are all that the operation needs (default: the server's own);
        ``credentials_at_fault`` adds a challenge to a malformed request (RFC 6750
        section 3.1); ``client_headers`` are the CORS headers, if any.
        """
        reason = refusal.reason
        shape = _SHAPES[reason]
        headers = [("content-type", "application/json"), ("cache-control", "no-store")]
        if reason is Reason.MALFORMED_REQUEST and credentials_at_fault:
            headers.append(("www-authenticate", self._parameters(_Challenge.INVALID_REQUEST, "")))
        elif challenge := (
            self._fixed[reason] if scopes is None else self._challenge(reason, scopes)
        ):
            headers.append(("www-authenticate", challenge))
        if shape.status == 503:
            headers.append(("retry-after", str(RETRY_AFTER_SECONDS)))
        return Deny(
            reason=reason,
            status=shape.status,
            headers=(*headers, *client_headers),
            body=_BODIES[reason, request is not None and wants_json_rpc(request)],
            server=None if self._server is None else self._server.name,
            detail=refusal.detail,
            token=token,
            call=call,
        )

    def _challenge(self, reason: Reason, scopes: tuple[str, ...]) -> str | None:
        kind = _SHAPES[reason].challenge
        if kind is _Challenge.NONE:
            return None
        return self._parameters(kind, _SHAPES[reason].message, scopes)

    def _parameters(self, kind: _Challenge, description: str, scopes: tuple[str, ...] = ()) -> str:
        parameters = {
            "error": kind.value,
            "scope": scope_text(scopes),
            "resource_metadata": self._metadata_url,
            "error_description": description if kind.value else "",
        }
        text = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)
        return f"Bearer {text}" if text else "Bearer"


def wants_json_rpc(request: Request) -> bool:
    """Whether the client is an MCP client that can show a JSON-RPC error to its user."""
    headers = request.headers
    return request.method == "POST" and (
        "mcp-protocol-version" in headers
        or "mcp-method" in headers
        or any(map(_is_event_stream, headers.get("accept", "").split(",")))
    )


def _is_event_stream(media_range: str) -> bool:
    """Whether that is meant, with parameters or without (RFC 9110 section 12.5.1)."""
    return media_range.partition(";")[0].strip().lower() == "text/event-stream"


def _body(reason: Reason, json_rpc: bool) -> bytes:
    shape = _SHAPES[reason]
    problem: dict[str, object] = {
        "error": shape.message,
        "code": shape.code,
        "reason": reason.value,
        "details": shape.hint,
    }
    if json_rpc:
        error = {"code": JSON_RPC_CODE, "message": shape.message, "data": problem}
        problem = {"jsonrpc": "2.0", "id": None, "error": error}
    return json.dumps(problem, separators=(",", ":")).encode("ascii")


_BODIES: Final = {
    (reason, json_rpc): _body(reason, json_rpc) for reason in Reason for json_rpc in (False, True)
}
