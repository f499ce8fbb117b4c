"""One request in, one decision out.

The engine holds a fixed policy. The keys and the time arrive as arguments, and where a
key is missing the engine says so instead of fetching it. Refusing is what happens when
nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .bearer import bearer_token, usual_bearer
from .challenge import Challenger
from .documents import is_preflight, preflight
from .gate import Gate, Permit
from .keyset import KeySet
from .model import Answer, Decision, Deny, NeedKeys, Reason, Refusal, Request, Trace
from .policy import Policy, Server
from .routing import Router
from .token import check_audience, check_times, issuer_of, parse_token
from .token_cache import TokenCache, claims_in_use, token_digest
from .verified import Caller

_BAD_ORIGIN = Refusal(Reason.BAD_ORIGIN, "Origin is not in the server's origins")
_NOT_IN_BAND = Refusal(
    Reason.NO_MATCHING_SERVER, "documents and preflights are answered by the HTTP listener itself"
)
_NOT_A_DOCUMENT = Refusal(Reason.NO_MATCHING_SERVER, "neither a document nor a preflight")
LOOKALIKE = Refusal(Reason.MALFORMED_REQUEST, "a header looks like an identity header")
_UNKNOWN_ISSUER = Refusal(Reason.UNKNOWN_ISSUER, "iss is not an issuer of this server")

KeySets = Mapping[str, KeySet]


@dataclass(slots=True)
class _Given:
    """What a decision is given besides the request."""

    keys: KeySets
    now: float
    missing_key: Reason | None
    trace: Trace | None


class Engine:
    """Judges requests against one policy. All it ever changes is its memory of tokens.

    ``previous`` is the engine it replaces, whose memory it takes over: every hit is judged
    by the policy in force.
    """

    def __init__(self, policy: Policy, previous: Engine | None = None) -> None:
        self.policy = policy
        self.cache: TokenCache
        self._remembering = (policy.cache_entries, claims_in_use(policy))
        if previous is not None and previous._remembering == self._remembering:
            self.cache = previous.cache
        else:
            self.cache = TokenCache(*self._remembering)
        self._router = Router(policy.servers)
        self._outside = Challenger(None, None)

    def decide(
        self,
        request: Request,
        keys: KeySets,
        *,
        now: float,
        missing_key: Reason | None = None,
        trace: Trace | None = None,
    ) -> Decision | NeedKeys:
        """Refuse, unless a server matches and each of its demands is met.

        ``now`` is in seconds since the epoch. ``missing_key`` is the answer for a key
        that is not in ``keys``; None asks for it by returning NeedKeys. ``trace``
        collects the checks for ``explain``.
        """
        route = self._router.find(request, trace)
        if isinstance(route, Refusal):
            return self._outside.deny(route, request)
        if isinstance(route, Answer):
            return route if request.in_band else self._outside.deny(_NOT_IN_BAND, request)
        gate = route.gate
        if "origin" in request.headers:
            if not request.in_band and is_preflight(request):
                return self._outside.deny(_NOT_IN_BAND, request)
            decision = self._origin(request, gate, trace)
            if decision is not None:
                return decision
        if request.refuse_lookalikes and gate.lookalikes.among(request.headers):
            # Not audited: where this is set, only a refusal keeps the look-alike out.
            return gate.refuse(request, LOOKALIKE, enforce=True)
        if route.public:
            return gate.allow_public(request)
        caller, digest = None, None
        text = usual_bearer(request) if trace is None else None
        if text is not None and len(text) <= self.policy.token_max_bytes:
            digest = token_digest(text)
            caller = self.cache.get(digest)
        # A caller verified before who would not pass again goes the whole way, which says why.
        if caller is None or not _still_good(caller, gate.server, keys, now):
            given = _Given(keys, now, missing_key, trace)
            found = self._prove(request, gate, given, digest)
            if not isinstance(found, Caller):
                return found
            caller = found
        permit = gate.permit(request, caller, trace)
        if isinstance(permit, Permit):
            return gate.allow(request, permit, now)
        return permit

    def answer(self, request: Request) -> Answer | Deny:
        """Answer a document or a preflight; there is nothing else to be had without a proxy."""
        route = self._router.find(request)
        if isinstance(route, Refusal):
            return self._outside.deny(route, request)
        if isinstance(route, Answer):
            return route
        if is_preflight(request):
            allowed = route.gate.origin_allowed(request.headers["origin"])
            return preflight(request, route.gate.server, allowed)
        return self._outside.deny(_NOT_A_DOCUMENT, request)

    @staticmethod
    def _origin(request: Request, gate: Gate, trace: Trace | None) -> Decision | None:
        origin = request.headers["origin"]
        allowed = gate.origin_allowed(origin)
        if is_preflight(request):
            return preflight(request, gate.server, allowed)
        if trace:
            origins = gate.server.origins
            wanted = "any" if origins is None else " or ".join(sorted(origins))
            trace.add("origin", wanted, origin, allowed)
        return None if allowed else gate.refuse(request, _BAD_ORIGIN)

    def _prove(
        self, request: Request, gate: Gate, given: _Given, digest: bytes | None
    ) -> Caller | Decision | NeedKeys:
        trace = given.trace
        text = bearer_token(request)
        if trace:
            found = text.detail or "none" if isinstance(text, Refusal) else "a bearer token"
            passed = not isinstance(text, Refusal)
            trace.add("credentials", "Authorization: Bearer <token>", found, passed)
        if isinstance(text, Refusal):
            return gate.refuse(request, text, credentials_at_fault=True)
        verified = self._verify(text, gate.server, given)
        if isinstance(verified, Refusal):
            return gate.refuse(request, verified)
        if isinstance(verified, Caller) and trace is None:
            self.cache.put(digest or token_digest(text), verified)
        return verified

    def _verify(self, text: str, server: Server, given: _Given) -> Caller | Refusal | NeedKeys:
        trace = given.trace
        token = parse_token(text, self.policy.token_max_bytes, trace)
        if isinstance(token, Refusal):
            return token
        # The token only chooses among the issuers that the server itself names.
        issuer = issuer_of(token, server.issuers)
        if trace:
            values = (v for i in server.issuers for v in (*i.accepted, *i.templates))
            wanted = " or ".join(sorted(values))
            trace.add("issuer", wanted, token.issuer, issuer is not None)
        if issuer is None:
            return _UNKNOWN_ISSUER
        plausible = token.meeting(server, issuer, given.now, trace)
        if isinstance(plausible, Refusal):
            return plausible
        kid, algorithm = token.header.kid, token.header.algorithm
        key_set = given.keys.get(issuer.name)
        candidates = () if key_set is None else key_set.candidates(kid, algorithm)
        if trace:
            held = "no keys of the issuer are held" if key_set is None else "not among the keys"
            trace.add(
                "key",
                "a key of the issuer with the token's kid and algorithm",
                "found" if candidates else held,
                bool(candidates),
            )
        if key_set is None or not candidates:
            if given.missing_key is None:
                return NeedKeys(issuer.name, kid)
            return Refusal(given.missing_key, "no key of the issuer fits kid and algorithm")
        verified = plausible.verify(candidates, trace)
        return verified if isinstance(verified, Refusal) else Caller(verified, key_set)


def _still_good(caller: Caller, server: Server, keys: KeySets, now: float) -> bool:
    facts = caller.token.facts
    issuer = facts.issuer
    if issuer not in server.issuers:
        return False
    key_set = keys.get(issuer.name)
    if key_set is not caller.key_set:
        if key_set is None or not key_set.holds(caller.token.key):
            return False
        caller.key_set = key_set
    return (
        check_times(facts, issuer.leeway, now) is None
        and check_audience(server, facts.audiences) is None
    )
