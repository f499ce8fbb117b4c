"""Rows 75-80: tokens that are genuine, but were meant for something else (RFC 8725 3.11, 3.12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from extauthz.core.model import Reason
from tests.attacks.signatures import N256, resigned
from tests.attacks.table import Case, Sent, Stage, allowed, configured, refused, row
from tests.tokens import ABSENT, CALCULATOR, unb64

WRONG_TYPE = Reason.WRONG_TOKEN_TYPE
WRONG_AUDIENCE = Reason.WRONG_AUDIENCE
MISSING = Reason.MISSING_CLAIM
LACKING = Reason.INSUFFICIENT_SCOPE

TYPES = (
    "logout+jwt", "dpop+jwt", "client-authentication+jwt", "secevent+jwt",
    "token-introspection+jwt", "oauth-authz-req+jwt", "entity-statement+jwt", "vc+sd-jwt",
    "dc+sd-jwt", "kb+jwt", "foo+jwt", "JOSE", "at+jwt ", "", "jwt;x", "application/jwt",
)  # fmt: skip


@row(75, "an ID token of the client")
def id_token(stage: Stage) -> Iterator[Case]:
    claims = {"aud": "inspector", "nonce": "n", "at_hash": "h", "scope": ABSENT}
    yield refused("aud is the client", stage.mint(claims, header={"typ": "JWT"}), WRONG_AUDIENCE)


@row(76, "other kinds of token with our audience: required_claims tells them apart", policy=True)
def other_kinds(stage: Stage) -> Iterator[Case]:
    plain = {"typ": "JWT"}
    id_token = stage.mint({"nonce": "n", "at_hash": "h", "scope": ABSENT}, header=plain)
    yield refused("an ID token has no scope", id_token, LACKING)
    logout: dict[str, object] = {
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}}
    }
    token = stage.mint(logout | {"scope": ABSENT}, header=plain)
    yield refused("nor has a logout token", token, LACKING)
    keycloak = configured(required_claims={"typ": "Bearer"})
    for kind in ("Refresh", "ID", "Offline", ABSENT, ["Refresh"]):
        token = stage.mint({"typ": kind}, header=plain)
        yield refused(f"Keycloak {kind}", token, MISSING, config=keycloak)
    token = stage.mint({"typ": "Bearer"}, header=plain)
    yield replace(allowed("Keycloak Bearer", token), config=keycloak)
    cognito = configured(required_claims={"token_use": "access"})
    token = stage.mint({"token_use": "id"}, header=plain)
    yield refused("Cognito id", token, MISSING, config=cognito)
    # What is not configured is not known: a token of the issuer with our audience and scope is
    # taken for an access token.
    yield allowed("nothing configured", stage.mint({"typ": "ID"}, header=plain))


@row(77, "typ of another kind")
def types(stage: Stage) -> Iterator[Case]:
    for typ in TYPES:
        yield refused(repr(typ), stage.mint(header={"typ": typ}), WRONG_TYPE)
    for odd in (7, None, ["at+jwt"], {"at+jwt": 1}, True):
        yield refused(odd, stage.mint(header={"typ": odd}), WRONG_TYPE)
    for good in ("at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt", ABSENT):
        yield allowed(good, stage.mint(header={"typ": good}))


@row(78, "a token bound to a key is no bearer token", policy=True)
def bound(stage: Stage) -> Iterator[Case]:
    values: list[object] = [
        {"jkt": "x"}, {"x5t#S256": "x"}, {"jwk": {}}, {}, "x", 7, True, [], "",
    ]  # fmt: skip
    for cnf in values:
        yield refused(cnf, stage.mint({"cnf": cnf}), Reason.BINDING_MISMATCH)
    proof = (("DPoP", "eyJ0eXAiOiJkcG9wK2p3dCJ9.e30.c2ln"),)
    token = stage.mint({"cnf": {"jkt": "x"}})
    sent = Sent(headers=proof)
    yield refused("a proof is not looked at", token, Reason.BINDING_MISMATCH, sent=sent)


@row(79, "a token for a sibling server")
def sibling(stage: Stage) -> Iterator[Case]:
    token = stage.mint({"aud": CALCULATOR, "scope": "notes calculator"})
    yield refused("calculator's, at notes", token, WRONG_AUDIENCE)
    at_calculator = Sent(method="GET", target="/calculator/mcp")
    yield refused("notes', at calculator", stage.mint(), WRONG_AUDIENCE, sent=at_calculator)


@row(80, "one token in other spellings: no list of revoked tokens is kept", policy=True)
def respelled(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    signature = unb64(token.rpartition(".")[2])
    twin = N256 - int.from_bytes(signature[32:])
    yield refused("=", token + "=", Reason.MALFORMED_TOKEN)
    yield allowed("high-s", resigned(token, signature[:32] + twin.to_bytes(32)))
