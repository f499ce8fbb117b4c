"""One request in, one decision out.

The engine holds a fixed policy. The keys and the time arrive as arguments, and where a
key is missing the engine says so instead of fetching it. Refusing is what happens when
nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .bearer import MISSING, bearer_token, usual_bearer
from .challenge import Challenger
from .documents import is_preflight, preflight
from .gate import Gate
from .keyset import KeySet
from .model import (
    Allow,
    Answer,
    Decision,
    Deny,
    NeedKeys,
    Reason,
    Refusal,
    Request,
    Trace,
    Unproven,
)
from .policy import Policy, Server
from .routing import Router
from .token import check_audience, check_times, issuer_of, parse_token
from .token_cache import TokenCache, claims_in_use, token_digest
from .verified import Caller, Pass

_BAD_ORIGIN = Refusal(Reason.BAD_ORIGIN, "Origin is not in the server's origins")
_NOT_IN_BAND = Refusal(
    Reason.NO_MATCHING_SERVER, "documents and preflights are answered by the HTTP listener itself"
)
_NOT_A_DOCUMENT = Refusal(Reason.NO_MATCHING_SERVER, "neither a document nor a preflight")
LOOKALIKE = Refusal(Reason.MALFORMED_REQUEST, "a header looks like an identity header")
_UNPROVEN = Unproven()
_SHORT = 32 * 1024
_UNKNOWN_ISSUER = Refusal(Reason.UNKNOWN_ISSUER, "iss is not an issuer of this server")

KeySets = Mapping[str, KeySet]


@dataclass(slots=True)
class Standing:
    """What makes an engine's answer to one request hold, word by word, for the next one."""

    engine: Engine
    caller: Caller
    told: Pass


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
        self._longest_remembered = policy.token_max_bytes if policy.cache_entries else 0
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
        gate = self._gate(request, trace)
        if not isinstance(gate, Gate):
            return gate
        caller, digest = None, None
        text = usual_bearer(request) if trace is None else None
        if text is not None and len(text) <= self._longest_remembered:
            digest = token_digest(text)
            # Counted when the request is first judged, and not when the key was looked for.
            caller = self.cache.get(digest) if missing_key is None else self.cache.known(digest)
        # A caller verified before who would not pass again goes the whole way, which says why.
        if caller is None or not _still_good(caller, gate, keys, now):
            found = self._prove(request, gate, _Given(keys, now, missing_key, trace), text)
            if not isinstance(found, Caller):
                return found
            caller = found
            if digest is not None:
                self.cache.put(digest, caller)
        return gate.judge(request, caller, now, trace)

    def decide_at_once(self, request: Request, keys: KeySets, *, now: float) -> Decision | Unproven:
        """What ``decide`` says where it takes next to no time, else Unproven.

        It takes some where a token has to be verified or a long body has to be read.
        """
        gate = self._gate(request, None)
        if not isinstance(gate, Gate):
            return gate
        text = usual_bearer(request)
        if text is None:
            if "authorization" in request.headers:
                return _UNPROVEN
            return gate.refuse(request, MISSING, credentials_at_fault=True)
        if len(text) > self._longest_remembered:
            return _UNPROVEN
        if request.body is not None and len(request.body) > _SHORT and gate.server.has_call_rules:
            return _UNPROVEN
        caller = self.cache.known(token_digest(text))
        if caller is None or not _still_good(caller, gate, keys, now):
            return _UNPROVEN
        self.cache.hits += 1
        return gate.judge(request, caller, now)

    def standing(self, request: Request, allow: Allow) -> Standing | None:
        """What ``allow``, the answer to ``request``, depends on besides the request's words.

        None where that is more than the caller's token: then it is no answer to another one.
        """
        gate, text = self._gate(request, None), usual_bearer(request)
        if not isinstance(gate, Gate) or text is None:
            return None
        caller = self.cache.known(token_digest(text))
        told = None if caller is None else caller.at(gate.number)
        if caller is None or told is None or told.allow is not allow:
            return None
        return Standing(self, caller, told)

    def still(self, standing: Standing, keys: KeySets, *, now: float) -> Allow | None:
        """The answer once more, for a request of the same words; None where to judge it anew."""
        told = standing.told
        if standing.engine is not self or not _key_is_held(standing.caller, keys):
            return None
        if not told.since <= now < told.until:
            return None
        self.cache.hits += 1
        return told.allow

    def without_key(self, request: Request, reason: Reason, issuer: str) -> Decision:
        """The refusal of a request for which ``decide`` wanted a key that is not to be had.

        ``issuer`` is the name of the one that it is wanted of.
        """
        gate = self._gate(request, None)
        return gate.refuse(request, _no_key(reason, issuer)) if isinstance(gate, Gate) else gate

    def _gate(self, request: Request, trace: Trace | None) -> Gate | Decision:
        """The gate of the server that is asked for, or the answer that needs no token."""
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
        return gate.allow_public(request) if route.public else gate

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
        self, request: Request, gate: Gate, given: _Given, usual: str | None
    ) -> Caller | Decision | NeedKeys:
        """The caller whom the request's token proves; ``usual`` is that token at a glance."""
        found = None if usual is None else self._verify(usual, gate.server, given)
        if not (found is None or isinstance(found, Refusal)):
            return found
        # A refusal has to be the right one: what follows Bearer may be no token to judge.
        trace = given.trace
        text = bearer_token(request)
        if trace:
            shown = text.detail or "none" if isinstance(text, Refusal) else "a bearer token"
            passed = not isinstance(text, Refusal)
            trace.add("credentials", "Authorization: Bearer <token>", shown, passed)
        if isinstance(text, Refusal):
            return gate.refuse(request, text, credentials_at_fault=True)
        if found is None or text != usual:
            found = self._verify(text, gate.server, given)
        return gate.refuse(request, found) if isinstance(found, Refusal) else found

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
            held = "none is held" if key_set is None else f"the issuer has {key_set.names()}"
            trace.add(
                "key",
                f"a key of issuer {issuer.name} with the token's kid and algorithm",
                "a key of the issuer"
                if candidates
                else f"{kid or '(no kid)'}, {algorithm}; {held}",
                bool(candidates),
            )
        if key_set is None or not candidates:
            if given.missing_key is None:
                return NeedKeys(issuer.name, kid)
            return _no_key(given.missing_key, issuer.name)
        verified = plausible.verify(candidates, trace)
        return verified if isinstance(verified, Refusal) else Caller(verified, key_set, issuer.name)


def _no_key(reason: Reason, issuer: str) -> Refusal:
    missing = f"no key of issuer {issuer} fits kid and algorithm"
    if reason is Reason.KEYS_UNAVAILABLE:
        missing += ", and no newer ones are to be had"
    return Refusal(reason, missing)


def _key_is_held(caller: Caller, keys: KeySets) -> bool:
    key_set = keys.get(caller.issuer)
    if key_set is None:
        return False
    if key_set is not caller.key_set:
        if not key_set.holds(caller.token.key):
            return False
        caller.key_set = key_set
    return True


def _still_good(caller: Caller, gate: Gate, keys: KeySets, now: float) -> bool:
    if not _key_is_held(caller, keys):
        return False
    told = caller.at(gate.number)
    if told is not None:
        # Issuer and audience were good for this very gate, which never changes.
        return told.since <= now < told.until
    facts = caller.token.facts
    issuer = facts.issuer
    return (
        issuer in gate.server.issuers
        and check_times(facts, issuer.leeway, now) is None
        and check_audience(gate.server, facts.audiences) is None
    )
