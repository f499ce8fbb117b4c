"""One request in, one decision out.

The engine holds a fixed policy. The keys and the time arrive as arguments, and where a
key is missing the engine says so instead of fetching it. Refusing is what happens when
nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import documents
from .bearer import bearer_token
from .challenge import Challenger
from .documents import Documents
from .gate import Gate, Permit
from .hosts import split_host
from .keyset import KeySet
from .matching import ServerIndex, lies_inside
from .model import Answer, Decision, NeedKeys, Reason, Refusal, Request, Trace
from .paths import canonical_path, is_inside
from .policy import Policy, Server
from .token import check_audience, check_times, issuer_of, parse_token
from .token_cache import TokenCache
from .verified import VerifiedToken

_NO_SERVER = Refusal(Reason.NO_MATCHING_SERVER, "no server matches host and path")
_UNKNOWN_NAME = Refusal(Reason.NO_MATCHING_SERVER, "the proxy names a server we do not know")
_OUTSIDE = Refusal(Reason.NO_MATCHING_SERVER, "outside the match of the server the proxy names")
_AMBIGUOUS = Refusal(Reason.AMBIGUOUS_PATH, "the path means different things to different servers")
_BAD_HOST = Refusal(Reason.MALFORMED_REQUEST, "the host is not one host")
_BAD_METHOD = Refusal(Reason.MALFORMED_REQUEST, "there is no HTTP method")
_BAD_ORIGIN = Refusal(Reason.BAD_ORIGIN, "Origin is not in the server's origins")
_LOOKALIKE = Refusal(Reason.MALFORMED_REQUEST, "a header looks like an identity header")
_UNKNOWN_ISSUER = Refusal(Reason.UNKNOWN_ISSUER, "iss is not an issuer of this server")

KeySets = Mapping[str, KeySet]


@dataclass(frozen=True, slots=True)
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
        self.cache = TokenCache(policy.cache_entries)
        if previous is not None and previous.policy.cache_entries == policy.cache_entries:
            self.cache = previous.cache
        self._index = ServerIndex(policy.servers)
        self._documents = Documents(policy.servers, self._index)
        self._gates = {server.name: Gate(server) for server in policy.servers}
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
        found = self._server_for(request, trace)
        if isinstance(found, Refusal):
            return self._outside.deny(found, request)
        if isinstance(found, Answer):
            return found
        server, path = found
        gate = self._gates[server.name]
        origin = request.headers.get("origin")
        if documents.is_preflight(request):
            return documents.preflight(request, server, gate.origin_allowed(origin))
        if trace and origin is not None:
            wanted = "any" if server.origins is None else ", ".join(sorted(server.origins))
            trace.add("origin", wanted, origin, gate.origin_allowed(origin))
        if origin is not None and not gate.origin_allowed(origin):
            return gate.refuse(request, _BAD_ORIGIN)
        if request.refuse_lookalikes and gate.lookalikes.among(request.headers):
            # Not audited: where this is set, only a refusal keeps the look-alike out.
            return gate.refuse(request, _LOOKALIKE, enforce=True)
        if path in server.public_exact or path.startswith(server.public_prefixes):
            if trace:
                trace.add("public path", "no token needed", path, True)
            return gate.allow_public(request)
        return self._judge(request, gate, _Given(keys, now, missing_key, trace))

    def _judge(
        self,
        request: Request,
        gate: Gate,
        given: _Given,
    ) -> Decision | NeedKeys:
        trace = given.trace
        text = bearer_token(request)
        if trace:
            found = text.detail or "none" if isinstance(text, Refusal) else "a bearer token"
            passed = not isinstance(text, Refusal)
            trace.add("credentials", "Authorization: Bearer <token>", found, passed)
        if isinstance(text, Refusal):
            return gate.refuse(request, text, credentials_at_fault=True)
        token = self._verify(text, gate.server, given)
        if isinstance(token, NeedKeys):
            return token
        if isinstance(token, Refusal):
            return gate.refuse(request, token)
        permit = gate.permit(request, token, trace)
        if isinstance(permit, Permit):
            return gate.allow(request, permit, given.now)
        return permit

    def _verify(
        self,
        text: str,
        server: Server,
        given: _Given,
    ) -> VerifiedToken | Refusal | NeedKeys:
        trace = given.trace
        if trace is None:
            known = self.cache.get(text)
            if known is not None and _still_good(known, server, given):
                return known
        token = parse_token(text, self.policy.token_max_bytes, trace)
        if isinstance(token, Refusal):
            return token
        # The token only chooses among the issuers that the server itself names.
        issuer = issuer_of(token, server.issuers)
        if trace:
            wanted = " or ".join(sorted(v for i in server.issuers for v in i.accepted))
            trace.add("issuer", wanted, token.issuer, issuer is not None)
        if issuer is None:
            return _UNKNOWN_ISSUER
        plausible = token.meeting(server, issuer, given.now, trace)
        if isinstance(plausible, Refusal):
            return plausible
        key_set = given.keys.get(issuer.name)
        candidates = () if key_set is None else key_set.candidates(token.kid, token.algorithm)
        if trace:
            held = "no keys of the issuer are held" if key_set is None else "not among the keys"
            trace.add(
                "key",
                "a key of the issuer with the token's kid and algorithm",
                "found" if candidates else held,
                bool(candidates),
            )
        if not candidates:
            if given.missing_key is None:
                return NeedKeys(issuer.name, token.kid)
            return Refusal(given.missing_key, "no key of the issuer fits kid and algorithm")
        verified = plausible.verify(candidates, trace)
        if trace is None and isinstance(verified, VerifiedToken):
            verified.key_set = key_set
            self.cache.put(text, verified)
        return verified

    def _server_for(
        self, request: Request, trace: Trace | None
    ) -> tuple[Server, str] | Refusal | Answer:
        path = canonical_path(request.target)
        if trace:
            trace.add("path", "one meaning only", path or "ambiguous", path is not None)
        if path is None:
            return _AMBIGUOUS
        if not request.method:
            return _BAD_METHOD
        where = split_host(request.host)
        if where is None:
            return _BAD_HOST
        host, port = where
        named = None
        if request.server is not None:
            named = self._index.named(request.server)
            if named is None:
                return _UNKNOWN_NAME
        if self._documents.concerns(path):
            answer = self._documents.answer(request, host, port, path, named)
            if answer is not None:
                return answer
        server = self._matching(host, port, path, named)
        if trace:
            found = server.detail if isinstance(server, Refusal) else server.name
            trace.add("server", "one that matches host and path", found, isinstance(server, Server))
        return server if isinstance(server, Refusal) else (server, path)

    def _matching(
        self, host: str, port: int | None, path: str, named: Server | None
    ) -> Server | Refusal:
        if named is None:
            return self._index.find(host, port, path) or _NO_SERVER
        if lies_inside(named, host, port) and any(is_inside(path, p) for p in named.paths):
            return named
        return _OUTSIDE


def _still_good(token: VerifiedToken, server: Server, given: _Given) -> bool:
    """Whether a remembered token would pass again; if not, the full path says why."""
    facts = token.facts
    issuer = facts.issuer
    if issuer not in server.issuers:
        return False
    key_set = given.keys.get(issuer.name)
    if key_set is not token.key_set:
        if key_set is None or not key_set.holds(token.key):
            return False
        token.key_set = key_set
    return (
        check_times(facts, issuer.leeway, given.now) is None
        and check_audience(server, facts.audiences) is None
    )
