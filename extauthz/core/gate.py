"""What one server makes of a caller: its rules, and the answers that follow."""

from __future__ import annotations

import re
from itertools import count

from .calls import BODILESS, KIND_OF, NAMED_BY, find_call, needs_no_rule
from .challenge import Challenger
from .claims import claim_at, granted_scopes
from .documents import cors_headers, metadata_url
from .identity import Lookalikes, identity_headers, server_header
from .model import Allow, Call, Decision, Headers, Reason, Refusal, Request, Trace
from .policy import Server
from .rules import Rule, RuleMap
from .token import life_of
from .uris import UriRules
from .verified import Caller, Pass, TokenFacts, VerifiedToken

_UNVERIFIED = Refusal(Reason.UNVERIFIED_CALL, "no source tells which method is called")
_FREE = Rule(key="")
_VISIBLE = re.compile(r"[!-~]+")
_NUMBERS = count()
# Reloads make new gates: what was built for the old ones must not pile up.
_MAX_PASSES = 16
_SHORTEST_LEASE = 1.0


class Gate:
    """One server's demands and answers, with all that never changes built beforehand.

    ``lookalikes`` may be shared by servers that are sent headers of the same names.
    """

    # What a request reads of it lies together: of a thousand gates few are in the processor's
    # caches.
    __slots__ = (
        "_challenger",
        "_has_call_rules",
        "_kinds",
        "_leases",
        "_public",
        "_uris",
        "_withheld",
        "lookalikes",
        "number",
        "server",
    )

    def __init__(self, server: Server, lookalikes: Lookalikes) -> None:
        self.server = server
        self.lookalikes = lookalikes
        self._leases = server.stream_lease
        self._challenger = Challenger(server, metadata_url(server))
        rules = {"tool": server.tools, "prompt": server.prompts, "resource": server.resources}
        self._kinds: dict[str, RuleMap] = {method: rules[kind] for method, kind in KIND_OF.items()}
        self._uris = UriRules(server.resources)
        self._withheld = () if server.keep_token else ("authorization",)
        self._public = server_header(server)
        self.number = next(_NUMBERS)
        self._has_call_rules = server.has_call_rules

    def origin_allowed(self, origin: str | None) -> bool:
        """Whether a browser page of this origin may call the server (Fetch standard).

        Any origin is any that can be sent back in a header as it came.
        """
        allowed = self.server.origins
        if origin is None:
            return False
        return _VISIBLE.fullmatch(origin) is not None if allowed is None else origin in allowed

    def judge(
        self, request: Request, caller: Caller, now: float, trace: Trace | None = None
    ) -> Decision:
        """Judge a verified caller: what is forwarded, which call, denials, scopes.

        ``now`` is in seconds since the epoch.
        """
        told = caller.at(self.number)
        if told is None:
            built = identity_headers(caller.token.facts, self.server)
            if isinstance(built, Refusal):
                return self.refuse(request, built, token=caller.token)
            told = self._remember(caller, built)
        if told.settled and trace is None:
            return self._allow(request, told, caller, None, now)
        token = caller.token
        clients = self.server.allowed_clients
        if clients is not None and token.facts.client_id not in clients:
            refusal = Refusal(Reason.DENIED_BY_RULE, "the client is not an allowed client")
            return self.refuse(request, refusal, token=token)
        call: Call | None = None
        rule = _FREE
        if self._has_call_rules and request.method not in BODILESS:
            source = find_call(request, self.server)
            if source is None and not self.server.allow_unverified_calls:
                source = _UNVERIFIED
            if isinstance(source, Refusal):
                if trace:
                    trace.add("call", "known from a source to believe", source.detail, False)
                return self.refuse(request, source, token=token)
            call = source
            rule = self._rule_for(call)
            if trace:
                said = "not known; rules do not apply" if call is None else call.method
                trace.add("call", "known from a source to believe", said, True)
        refusal_or_none = self._denied(rule, token, trace) or self._misread(call, trace)
        if refusal_or_none:
            return self.refuse(request, refusal_or_none, token=token, call=call)
        wanted = self._lacking(rule, told.granted, trace)
        if wanted is not None:
            lacking = Refusal(
                Reason.INSUFFICIENT_SCOPE,
                f"rule {rule.key}" if rule.key else "scopes of the server",
            )
            return self.refuse(request, lacking, token=token, call=call, scopes=wanted)
        return self._allow(request, told, caller, call, now)

    def _remember(self, caller: Caller, headers: Headers) -> Pass:
        token = caller.token
        if len(caller.passes) >= _MAX_PASSES:
            caller.passes.clear()
        facts, server = token.facts, self.server
        granted = granted_scopes(facts.scopes, server.implies)
        allow = Allow(server.name, headers, self._absent(headers, self._withheld), (), token)
        clients, claims = server.allowed_clients, server.claims
        settled = (
            not self._has_call_rules
            and (not claims or all(each.holds(facts.claims) for each in claims))
            and granted.issuperset(server.scopes)
            and (clients is None or facts.client_id in clients)
        )
        since, until = life_of(facts)
        told = caller.passes[self.number] = Pass(self.number, granted, allow, since, until, settled)
        return told

    def _rule_for(self, call: Call | None) -> Rule:
        if call is None or not call.method or needs_no_rule(call.method):
            return _FREE
        rules = self._kinds.get(call.method, self.server.methods)
        name = call.method if call.name is None else call.name
        return rules.find(name) or _FREE

    def _misread(self, call: Call | None, trace: Trace | None) -> Refusal | None:
        uri = call.name if call is not None and NAMED_BY.get(call.method) == "uri" else None
        if uri is None:
            return None
        refusal = self._uris.refusal(uri)
        if trace and refusal is not None:
            trace.add("uri", "under one rule, however read", refusal.detail, False)
        return refusal

    def _denied(self, rule: Rule, token: VerifiedToken, trace: Trace | None) -> Refusal | None:
        if trace and rule.key:
            shown = f"rule {rule.key}: deny" if rule.deny else f"rule {rule.key}"
            trace.add("rule", "a rule that does not deny", shown, not rule.deny)
        if rule.deny:
            return Refusal(Reason.DENIED_BY_RULE, f"rule {rule.key}")
        if not (self.server.claims or rule.claims):
            return None
        for whose, claims in (("server", self.server.claims), (f"rule {rule.key}", rule.claims)):
            for condition in claims:
                passed = condition.holds(token.facts.claims)
                if trace:
                    wanted = " or ".join(map(repr, condition.values))
                    found = claim_at(token.facts.claims, condition.path)
                    trace.add(f"claim {condition.name}", wanted, repr(found), passed)
                if not passed:
                    return Refusal(Reason.DENIED_BY_RULE, f"{whose}: claim {condition.name}")
        return None

    def _lacking(
        self, rule: Rule, granted: frozenset[str], trace: Trace | None
    ) -> tuple[str, ...] | None:
        """All scopes of the operation if one is lacking, else None."""
        needed = (*self.server.scopes, *rule.scopes)
        if not needed and not rule.any_scopes:
            return None
        passed = granted.issuperset(needed) and (
            not rule.any_scopes or not granted.isdisjoint(rule.any_scopes)
        )
        if trace:
            one_of = f"one of {' '.join(rule.any_scopes)}" if rule.any_scopes else ""
            wanted = " and ".join(filter(None, (" ".join(needed), one_of)))
            trace.add("scopes", wanted, " ".join(sorted(granted)) or "none", passed)
        if passed:
            return None
        return tuple(dict.fromkeys((*needed, *rule.any_scopes[:1])))

    def refuse(
        self,
        request: Request,
        refusal: Refusal,
        *,
        token: VerifiedToken | None = None,
        call: Call | None = None,
        scopes: tuple[str, ...] | None = None,
        credentials_at_fault: bool = False,
        enforce: bool = False,
    ) -> Decision:
        """The server's refusal, which an audited server only reports (unless ``enforce``)."""
        if self.server.audit and not enforce:
            return self._audited(request, refusal, token, call)
        return self._challenger.deny(
            refusal,
            request,
            scopes=scopes,
            credentials_at_fault=credentials_at_fault,
            client_headers=self._client_headers(request),
            token=token,
            call=call,
        )

    def _allow(
        self, request: Request, told: Pass, caller: Caller, call: Call | None, now: float
    ) -> Allow:
        """Let a caller through, with nothing of the client's passed for ours."""
        usual = told.allow
        # Where they refuse the request, none has come this far.
        found = () if request.refuse_lookalikes else self.lookalikes.among(request.headers)
        if not (found or call or self._leases or "origin" in request.headers):
            return usual
        return Allow(
            usual.server,
            usual.headers,
            (*usual.remove, *found),
            self._client_headers(request),
            caller.token,
            call,
            lease_seconds=_lease(caller.token.facts, now) if self._leases else None,
        )

    def allow_public(self, request: Request) -> Allow:
        """Let a request for a public path through, telling the server only its own name."""
        return Allow(
            server=self.server.name,
            headers=self._public,
            remove=self._removals(request, self._public, self._withheld),
            client_headers=self._client_headers(request),
        )

    def _audited(
        self,
        request: Request,
        refusal: Refusal,
        token: VerifiedToken | None,
        call: Call | None,
    ) -> Allow:
        headers: Headers = ()
        if token is not None:
            built = identity_headers(token.facts, self.server)
            headers = () if isinstance(built, Refusal) else built
        return Allow(
            server=self.server.name,
            headers=headers,
            remove=self._removals(request, headers, ()),
            client_headers=self._client_headers(request),
            token=token,
            call=call,
            audited=refusal.reason,
            audited_detail=refusal.detail,
        )

    def _absent(self, headers: Headers, withheld: tuple[str, ...]) -> tuple[str, ...]:
        names = self.lookalikes.names
        if len(headers) == len(names):
            return withheld
        sent = [name for name, _ in headers]
        return (*withheld, *[name for name in names if name not in sent])

    def _removals(
        self, request: Request, headers: Headers, withheld: tuple[str, ...]
    ) -> tuple[str, ...]:
        return (*self._absent(headers, withheld), *self.lookalikes.among(request.headers))

    def _client_headers(self, request: Request) -> Headers:
        origin = request.headers.get("origin")
        if origin is None or not self.origin_allowed(origin):
            return ()
        return cors_headers(origin)


def _lease(facts: TokenFacts, now: float) -> float:
    """What is left of a token's life, and a second, of the leeway, for calls at its end."""
    left = facts.expires - now
    return min(max(left, _SHORTEST_LEASE), left + facts.issuer.leeway)
