"""Decisions as HTTP responses, one function for each flavour of question.

docs/contract.md, section 7. Under ``/auth/`` 200 means allow, and no other 2xx is ever sent;
anywhere else only a document or a preflight is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extauthz.core.model import Allow, Answer, Decision, Deny, Headers

from .lease import lease

STATUS_HEADER: Final = "x-extauthz-status"
BODY_HEADER: Final = "x-extauthz-body"
REMOVE_HEADER: Final = "x-envoy-auth-headers-to-remove"

_JSON: Final[Headers] = (("content-type", "application/json"), ("cache-control", "no-store"))


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response: lower-case header names, and the whole body."""

    status: int
    headers: Headers
    body: bytes = b""


_REFUSED: Final = Reply(403, _JSON, b'{"error":"refused"}')
_NOT_FOUND: Final = Reply(404, _JSON, b'{"error":"not_found"}')


def to_forwarder(decision: Decision) -> Reply:
    """For proxies that hand a refusal to the client as it is."""
    if isinstance(decision, Allow):
        return Reply(200, (*decision.headers, *decision.client_headers))
    if isinstance(decision, Deny):
        return Reply(decision.status, decision.headers, decision.body)
    return _REFUSED


def to_nginx(decision: Decision) -> Reply:
    """For nginx, which passes on 200, 401 and 403, turns the rest into 500, and drops bodies.

    The status and the body that the client is to get stand in headers of their own.
    """
    if not isinstance(decision, Deny):
        return to_forwarder(decision)
    told = (
        (STATUS_HEADER, str(decision.status)),
        (BODY_HEADER, decision.body.decode("ascii", "replace")),
    )
    status = 401 if decision.status == 401 else 403
    return Reply(status, (*decision.headers, *told), decision.body)


def to_envoy(decision: Decision) -> Reply:
    """For Envoy's ``http_service``, which removes from the request what a header names."""
    if not isinstance(decision, Allow):
        return to_forwarder(decision)
    headers = (*decision.headers, *decision.client_headers)
    if decision.remove:
        headers = (*headers, (REMOVE_HEADER, ",".join(decision.remove)))
    return Reply(200, (*headers, *lease(decision.lease_seconds)))


def to_client(decision: Decision) -> Reply:
    """For a client that asks us and not an MCP server: a document, a preflight, or 404."""
    if isinstance(decision, Answer):
        body = b"" if decision.status == 204 else decision.body
        return Reply(decision.status, decision.headers, body)
    return _NOT_FOUND
