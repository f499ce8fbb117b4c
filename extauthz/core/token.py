"""A JWT on its way from text to proof: unverified, then plausible, then verified.

Each stage is a type of its own, and the next one lives on the result of the last. What
an unverified claim says may only ever refuse (RFC 8725, RFC 9068 section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .claims import MISSING, claim_at, scope_elements
from .compact import TokenHeader, take_apart
from .keyset import Key
from .model import Reason, Refusal, Trace
from .policy import CLIENT_CLAIMS, GUID, TENANT, Issuer, Server
from .verified import TokenFacts, VerifiedToken

_LATEST = 253402300800  # the year 10000, in seconds: later dates are milliseconds or mistakes
_EARLIEST = -_LATEST
# Not of RFC 7519, which knows no null: some issuers write one where they have no value.
_PRIVATE_CLAIMS = ("tid", *CLIENT_CLAIMS)
_AUD = ("aud",)

_BAD_SIGNATURE = Refusal(Reason.BAD_SIGNATURE)
_KEY_OF_ANOTHER = Refusal(Reason.UNKNOWN_KEY, "the key is published for another issuer")


@dataclass(slots=True)
class UnverifiedToken:
    """A well-formed JWT that nobody vouches for yet. Treated as immutable once built."""

    header: TokenHeader
    issuer: str
    _claims: Mapping[str, object]
    _signing_input: bytes
    _signature: bytes

    def shown_to_its_owner(self) -> Mapping[str, object]:
        """The claims, for ``explain`` alone: whoever holds the token may read it."""
        return self._claims

    def meeting(
        self, server: Server, issuer: Issuer, now: float, trace: Trace | None = None
    ) -> PlausibleToken | Refusal:
        """Judge what needs no key: algorithm, type, audience, times, required claims.

        ``now`` is in seconds since the epoch. The checks run from cheap to costly, so
        that obvious junk never causes a key refresh.
        """
        claims = self._claims
        refusal = _algorithm(self, issuer, trace) or _type(self, issuer, trace)
        if refusal:
            return refusal
        facts = _facts(self, issuer, claims)
        if isinstance(facts, Refusal):
            if trace:
                trace.add("claims", "well-formed claims", _found(facts), False)
            return facts
        refusal = (
            check_audience(server, facts.audiences, trace)
            or check_times(facts, issuer.leeway, now, trace)
            or _required(issuer, claims, trace)
            or _binding(claims, trace)
        )
        return refusal or PlausibleToken(self, issuer, facts)


@dataclass(slots=True)
class PlausibleToken:
    """A token that would do if its signature held. Treated as immutable once built."""

    token: UnverifiedToken
    issuer: Issuer
    _facts: TokenFacts

    def verify(self, keys: tuple[Key, ...], trace: Trace | None = None) -> VerifiedToken | Refusal:
        """Check the signature with the candidate keys; any one of them will do."""
        token = self.token
        refusal = _BAD_SIGNATURE
        for key in keys:
            if not (key.issuer is None or self._may_sign(key.issuer)):
                refusal = _KEY_OF_ANOTHER
            elif key.verify(token.header.algorithm, token._signing_input, token._signature):
                if trace:
                    trace.add("signature", "a key of the issuer verifies it", "it does", True)
                return VerifiedToken(self._facts, key)
        if trace:
            trace.add("signature", "a key of the issuer verifies it", "none does", False)
        return refusal

    def _may_sign(self, named: str) -> bool:
        """The issuer that a key names itself (Entra ID) must agree with the token's."""
        accepted = self.issuer.accepted
        if self.token.issuer in accepted:
            return TENANT in named or named in accepted
        tenant = self._facts.tenant or ""
        named = named.replace(TENANT, tenant)
        return named in {t.replace(TENANT, tenant) for t in self.issuer.templates}


def parse_token(text: str, max_bytes: int, trace: Trace | None = None) -> UnverifiedToken | Refusal:
    """Take a compact JWS apart (RFC 7515 section 3.1) without believing a word of it.

    ``max_bytes`` is checked before anything else looks at the text.
    """
    token = _parse(text, max_bytes)
    if trace:
        trace.add(
            "token form",
            f"a signed JWT of at most {max_bytes} bytes",
            _found(token) if isinstance(token, Refusal) else f"a JWT of {len(text)} bytes",
            not isinstance(token, Refusal),
        )
    return token


def _found(refusal: Refusal) -> str:
    missing = refusal.reason is Reason.MISSING_CLAIM
    return f"{refusal.detail} is missing" if missing else refusal.detail


def _parse(text: str, max_bytes: int) -> UnverifiedToken | Refusal:
    parts = take_apart(text, max_bytes)
    if isinstance(parts, Refusal):
        return parts
    header, claims, signing_input, signature = parts
    issuer = claims.get("iss")
    if issuer is None:
        return Refusal(Reason.MISSING_CLAIM, "iss")
    if not isinstance(issuer, str):
        return Refusal(Reason.MALFORMED_TOKEN, "iss is not a string")
    return UnverifiedToken(header, issuer, claims, signing_input, signature)


def issuer_of(token: UnverifiedToken, issuers: tuple[Issuer, ...]) -> Issuer | None:
    """The configured issuer that the token's ``iss`` names, byte for byte.

    A template accepts the GUID of a listed tenant that equals the claim ``tid``.
    """
    for issuer in issuers:
        if token.issuer in issuer.accepted:
            return issuer
    tenant = token._claims.get("tid")
    if isinstance(tenant, str) and GUID.fullmatch(tenant):
        for issuer in issuers:
            if tenant in issuer.tenants and any(
                template.replace(TENANT, tenant) == token.issuer for template in issuer.templates
            ):
                return issuer
    return None


def _algorithm(token: UnverifiedToken, issuer: Issuer, trace: Trace | None) -> Refusal | None:
    passed = token.header.algorithm in issuer.algorithms
    if trace:
        trace.add("algorithm", ", ".join(sorted(issuer.algorithms)), token.header.algorithm, passed)
    if passed:
        return None
    return Refusal(Reason.UNSUPPORTED_ALGORITHM, "header alg is not in the issuer's algorithms")


def _type(token: UnverifiedToken, issuer: Issuer, trace: Trace | None) -> Refusal | None:
    passed = token.header.token_type.lower() in issuer.token_types
    if trace:
        trace.add(
            "token type", ", ".join(sorted(issuer.token_types)), token.header.token_type, passed
        )
    if passed:
        return None
    return Refusal(Reason.WRONG_TOKEN_TYPE, "header typ is not in the issuer's token_types")


def _facts(
    token: UnverifiedToken, issuer: Issuer, claims: Mapping[str, Any]
) -> TokenFacts | Refusal:
    get = claims.get
    expires = get("exp")
    if expires is None:
        return Refusal(Reason.MISSING_CLAIM, "exp")
    not_before, issued_at = get("nbf", expires), get("iat", expires)
    for value in (expires, not_before, issued_at):
        if type(value) is not int and type(value) is not float:
            return Refusal(Reason.MALFORMED_TOKEN, f"{_named(value, claims)} is not a number")
        if not _EARLIEST < value < _LATEST:
            return Refusal(Reason.MALFORMED_TOKEN, f"{_named(value, claims)} is not in seconds")
    for name in ("sub", "jti"):
        if type(get(name, "")) is not str:
            return Refusal(Reason.MALFORMED_TOKEN, f"{name} is not a string")
    for name in _PRIVATE_CLAIMS:
        value = get(name)
        if value is not None and type(value) is not str:
            return Refusal(Reason.MALFORMED_TOKEN, f"{name} is not a string")
    path = issuer.audience_claim
    audience = get(path[0]) if len(path) == 1 else claim_at(claims, path)
    if audience is None or audience is MISSING:
        return Refusal(Reason.MISSING_CLAIM, "the audience claim")
    audiences = aud = _texts(audience)
    if path != _AUD:
        told = get("aud")
        aud = () if told is None else _texts(told)
    if audiences is None or aud is None:
        return Refusal(Reason.MALFORMED_TOKEN, "the audience is not made of strings")
    return TokenFacts(
        issuer,
        token.issuer,
        expires,
        not_before if "nbf" in claims else None,
        issued_at if "iat" in claims else None,
        audiences,
        aud,
        scope_elements(claims, issuer.scope_claims),
        get("sub"),
        _client(get),
        get("jti"),
        get("tid"),
        claims,
    )


def _named(time: object, claims: Mapping[str, object]) -> str:
    return next(name for name in ("exp", "nbf", "iat") if name in claims and claims[name] is time)


def _texts(value: object) -> tuple[str, ...] | None:
    """A text or a list of them; None for anything else."""
    if type(value) is str:
        return (value,)
    if type(value) is not list:
        return None
    for element in value:
        if type(element) is not str:
            return None
    return tuple(value)


def _client(get: Callable[[str], Any]) -> str | None:
    for name in CLIENT_CLAIMS:
        value: str | None = get(name)
        if value:
            return value
    return None


def check_audience(
    server: Server, audiences: tuple[str, ...], trace: Trace | None = None
) -> Refusal | None:
    """Whether the token was issued for this server (RFC 8707 section 2, RFC 9068 section 4)."""
    wanted = server.audiences
    passed = wanted is None or not wanted.isdisjoint(audiences)
    if trace:
        trace.add(
            "audience",
            "any" if wanted is None else " or ".join(sorted(wanted)),
            ", ".join(audiences) or "(empty)",
            passed,
        )
    return None if passed else Refusal(Reason.WRONG_AUDIENCE, f"not issued for {server.name}")


def check_times(
    facts: TokenFacts, leeway: float, now: float, trace: Trace | None = None
) -> Refusal | None:
    """Whether ``now`` lies within the token's life (RFC 7519 sections 4.1.4 to 4.1.6)."""
    # Written so that a NaN, could one ever get here, refuses.
    if not now < facts.expires + leeway:
        refusal = Refusal(Reason.TOKEN_EXPIRED, "exp has passed")
    elif facts.not_before is not None and not now >= facts.not_before - leeway:
        refusal = Refusal(Reason.TOKEN_NOT_YET_VALID, "nbf is yet to come")
    elif facts.issued_at is not None and not now >= facts.issued_at - leeway:
        refusal = Refusal(Reason.TOKEN_NOT_YET_VALID, "iat is yet to come")
    elif facts.issued_at is not None and not facts.issued_at <= facts.expires + leeway:
        # Each is within the leeway of now, and yet they are further apart than it.
        refusal = Refusal(Reason.MALFORMED_TOKEN, "iat is after exp")
    else:
        refusal = None
    if trace:
        trace.add(
            "times",
            f"nbf, iat <= now < exp, with {leeway:g} s leeway",
            f"exp is {facts.expires - now:+.0f} s from now"
            + ("" if facts.not_before is None else f", nbf {facts.not_before - now:+.0f} s")
            + ("" if facts.issued_at is None else f", iat {facts.issued_at - now:+.0f} s"),
            refusal is None,
        )
    return refusal


def life_of(facts: TokenFacts) -> tuple[float, float]:
    """When a token begins and ends to be good, leeway included: what ``check_times`` checks."""
    leeway, not_before, issued_at = facts.issuer.leeway, facts.not_before, facts.issued_at
    since = issued_at
    if not_before is not None and (since is None or not_before > since):
        since = not_before
    return float("-inf") if since is None else since - leeway, facts.expires + leeway


def _required(issuer: Issuer, claims: Mapping[str, object], trace: Trace | None) -> Refusal | None:
    for condition in issuer.required_claims:
        passed = condition.holds(claims)
        if trace:
            found = claim_at(claims, condition.path)
            wanted = " or ".join(map(repr, condition.values))
            trace.add(f"required claim {condition.name}", wanted, repr(found), passed)
        if not passed:
            return Refusal(Reason.MISSING_CLAIM, f"required_claims: {condition.name}")
    return None


def _binding(claims: Mapping[str, object], trace: Trace | None) -> Refusal | None:
    """RFC 9449 section 7.2: a bound token is never taken as a plain bearer token."""
    if claims.get("cnf") is None:
        return None
    if trace:
        trace.add("binding", "no cnf claim", "cnf is present and cannot be verified", False)
    return Refusal(Reason.BINDING_MISMATCH, "cnf is present and cannot be verified here")
