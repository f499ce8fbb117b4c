"""The token endpoint's decision: may this client have a token, and for what?

Only the grant type client_credentials (RFC 6749 section 4.4) with resource indicators
(RFC 8707). Pure: an HTTP request's parts in, the claims of a token or an OAuth error out.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote_plus, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Who may ask for tokens, and for which ones.

    ``secrets`` maps client ids to client secrets. ``scopes`` and ``resources`` bound what
    may be asked for; None bounds nothing. ``default_resource`` becomes the audience of a
    token that was asked for without ``resource`` (RFC 9068 section 3).
    """

    secrets: Mapping[str, str] = field(repr=False)
    scopes: Collection[str] | None = None
    resources: Collection[str] | None = None
    default_resource: str


@dataclass(frozen=True, slots=True)
class Granted:
    """What the token shall say, besides what every token of the issuer says."""

    client_id: str
    scope: str
    audience: str | list[str]


@dataclass(frozen=True, slots=True)
class Refused:
    """An error response of RFC 6749 section 5.2."""

    error: str
    description: str

    @property
    def status(self) -> int:
        """401 when the client could not be authenticated, else 400."""
        return 401 if self.error == "invalid_client" else 400


def judge(clients: Clients, authorization: str | None, body: bytes) -> Granted | Refused:
    """Decide on one request to the token endpoint.

    ``authorization`` is the header of that name, ``body`` the
    application/x-www-form-urlencoded request body.
    """
    try:
        form = parse_qs(body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body))
    except ValueError:
        return Refused("invalid_request", "the body is not form-urlencoded UTF-8")
    if any(len(values) > 1 for name, values in form.items() if name != "resource"):
        return Refused("invalid_request", "a parameter other than resource is repeated")
    client_id = _client(clients, authorization, form)
    if isinstance(client_id, Refused):
        return client_id
    grant_type = form.get("grant_type", [""])[0]
    if grant_type != "client_credentials":
        return Refused("unsupported_grant_type", "grant_type must be client_credentials")
    scopes = form.get("scope", [""])[0].split()
    if clients.scopes is not None and not set(scopes) <= set(clients.scopes):
        known = " ".join(sorted(clients.scopes))
        return Refused("invalid_scope", f"scopes to be had here: {known}")
    resources = form.get("resource", [])
    if not all(_may_be_audience(clients, resource) for resource in resources):
        return Refused("invalid_target", "no such resource")
    audience = resources[0] if len(resources) == 1 else resources or clients.default_resource
    return Granted(client_id, " ".join(scopes), audience)


def _client(
    clients: Clients, authorization: str | None, form: Mapping[str, list[str]]
) -> str | Refused:
    """The client id that was proven with client_secret_basic or client_secret_post."""
    unproven = Refused("invalid_client", "unknown client or wrong secret")
    if authorization is not None:
        if "client_secret" in form:
            return Refused("invalid_request", "two ways of client authentication at once")
        scheme, _, encoded = authorization.partition(" ")
        try:
            pair = base64.b64decode(encoded, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return unproven
        name, colon, secret = (unquote_plus(part) for part in pair.partition(":"))
        if scheme.lower() != "basic" or not colon:
            return unproven
    else:
        name, secret = form.get("client_id", [""])[0], form.get("client_secret", [""])[0]
    expected = clients.secrets.get(name)
    if expected is None or not hmac.compare_digest(expected.encode(), secret.encode()):
        return unproven
    return name


def _may_be_audience(clients: Clients, resource: str) -> bool:
    """An absolute URI without a fragment (RFC 8707 section 2) that is known here."""
    if clients.resources is not None:
        return resource in clients.resources
    return bool(urlsplit(resource).scheme) and "#" not in resource
