"""What a line leaves open about a caller: the least and the most that his token may have said.

More claims, scopes and audiences never take access away. So where the engine answers both
tokens alike, that is the answer, and otherwise nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from typing import Final

from extauthz.core.claims import ClaimPath, Scalar, claim_name
from extauthz.core.policy import CLIENT_CLAIMS, Issuer, Policy, Server
from extauthz.telemetry.hashing import hashed

from .record import Person, Value
from .stand_in import Claims, Entangled

_MOST_TRIED: Final = 64
_ISS: Final = ("iss",)
_SUB: Final = ("sub",)
# Claims of which a token that is not malformed holds one text at most.
_TEXTS: Final = frozenset({_SUB, ("jti",), ("tid",), *((name,) for name in CLIENT_CLAIMS)})
# Claims that say something else to the engine than to a condition.
_NEVER_TRIED: Final = frozenset({"exp", "nbf", "iat", "cnf"})


class TooMany(Exception):
    """There are more possibilities than are worth trying."""


class Readers:
    """Which claims a policy reads, and what for."""

    def __init__(self, policy: Policy) -> None:
        self._issuers = policy.issuers
        self.wanted: dict[ClaimPath, set[Scalar]] = {}
        for server in policy.servers:
            for one in server.conditions:
                self.wanted.setdefault(one.path, set()).update(one.values)
        self._by_hash = {
            path: {hashed(text): text for text in values if isinstance(text, str)}
            for path, values in self.wanted.items()
        }
        # Whoever is none of those that rules name is as good as anybody else who is none.
        longest = max((len(str(text)) for text in self.wanted.get(_SUB, ())), default=0)
        self._somebody = "?" * (longest + 1)

    def as_rules_see(self, person: Person) -> Person:
        """The same person, with no more of a subject than makes a difference."""
        subject = person.subject
        if subject is None or _SUB not in self.wanted:
            return replace(person, subject=None)
        told = self._by_hash[_SUB].get(subject, subject)
        return replace(person, subject=told if told in self.wanted[_SUB] else self._somebody)

    def issuer_of(self, person: Person) -> Issuer | None:
        """The issuer that vouches for a person by the policy."""
        for issuer in self._issuers:
            if person.issuer in issuer.accepted or any(
                template.replace("{tenantid}", tenant) == person.issuer
                for template in issuer.templates
                for tenant in issuer.tenants
            ):
                return issuer
        return None

    def plain(self, person: Person, path: ClaimPath, value: Value) -> object:
        """A recorded value with the texts back in place of their hashes, where they matter."""
        of_person = {hashed(text): text for text in (person.client_id, person.issuer) if text}
        known = of_person | self._by_hash.get(path, {})
        if isinstance(value, tuple):
            return [known.get(one, one) if isinstance(one, str) else one for one in value]
        return known.get(value, value) if isinstance(value, str) else value


class Caller:
    """One person as tokens of the policy's issuers would describe him."""

    def __init__(self, person: Person, readers: Readers) -> None:
        self.person = person = readers.as_rules_see(person)
        self.issuer = readers.issuer_of(person)
        self._readers = readers
        self._recorded = dict(person.claims)
        issuer = self.issuer
        self._audience_told = issuer is None or issuer.audience_claim == person.audience_claim
        self._scopes_told = issuer is None or set(issuer.scope_claims) == set(person.scope_claims)
        self._scope_path = self._place_of_scopes()

    def least(self) -> Claims:
        """What the token said for certain. Raises Entangled."""
        person, issuer = self.person, self.issuer
        claims = Claims(person.issuer)
        audience_path = ("aud",) if issuer is None else issuer.audience_claim
        for path, value in sorted(person.claims, key=lambda pair: len(pair[0])):
            taken = path in (audience_path, self._scope_path, _ISS) or path[0] in _NEVER_TRIED
            if not taken and value not in (None, ()):
                claims.say(path, self._readers.plain(person, path, value))
        if self._audience_told:
            audiences = person.audiences
            claims.say(audience_path, audiences[0] if len(audiences) == 1 else [*audiences])
        if self._scopes_told and person.scopes:
            claims.say(self._scope_path, [*person.scopes])
        self._say_client(claims)
        if person.subject is not None and _SUB in self._readers.wanted:
            claims.say(_SUB, person.subject)
        return claims

    def blurs(self, server: Server) -> bool:
        """Whether that server reads a claim that only stands in for scopes here."""
        return any(condition.path == self._scope_path for condition in server.conditions)

    def open_points(self, server: Server) -> tuple[str, ...]:
        """What that server would have to know and the line does not tell."""
        points = [f"the claim {claim_name(path)}" for path in self._open_claims(server)]
        if not self._audience_told and server.audiences is not None:
            points.append("the audience, which is read from another claim now")
        if not self._scopes_told and server.scopes_supported:
            points.append("the scopes, which are read from other claims now")
        return tuple(points)

    def most(self, server: Server) -> Iterator[Claims]:
        """Whatever else the token may have said that ``server`` would like to hear.

        Raises Entangled or TooMany where that cannot be tried.
        """
        singles: list[tuple[ClaimPath, list[Scalar]]] = []
        lists: list[tuple[ClaimPath, list[Scalar]]] = []
        for path in self._open_claims(server):
            if path[0] in _NEVER_TRIED or path == self._scope_path:
                raise TooMany
            if path in _TEXTS:
                wanted = self._readers.wanted[path]
                singles.append((path, [text for text in wanted if self._may_be(path, text)]))
            else:
                # In a set, 1 and True would be one value.
                wishes = (one.values for one in server.conditions if one.path == path)
                distinct = {(type(value), value): value for values in wishes for value in values}
                lists.append((path, [*distinct.values()]))
        singles = [(path, texts) for path, texts in singles if texts]
        tried = [*islice(product(*(texts for _, texts in singles)), _MOST_TRIED + 1)]
        if len(tried) > _MOST_TRIED:
            raise TooMany
        for texts in tried:
            claims = self.least()
            for (path, _), text in zip(singles, texts, strict=True):
                claims.say(path, text)
            for path, values in lists:
                self._add(claims, path, values)
            if self.issuer is not None and not self._audience_told:
                claims.say(self.issuer.audience_claim, sorted(server.audiences or ()))
            if not self._scopes_told:
                claims.say(self._scope_path, [*self.person.scopes, *server.scopes_supported])
            yield claims

    def _open_claims(self, server: Server) -> tuple[ClaimPath, ...]:
        paths = dict.fromkeys(condition.path for condition in server.conditions)
        return tuple(path for path in paths if not self._is_told(path))

    def _is_told(self, path: ClaimPath) -> bool:
        if path == self._scope_path:
            return False
        if path == _ISS or (
            self._audience_told and self.issuer and path == self.issuer.audience_claim
        ):
            return True
        if path == _SUB:
            return self.person.subject is not None
        return path in self._recorded and path not in self.person.cut

    def _may_be(self, path: ClaimPath, text: Scalar) -> bool:
        # A client_id that is there is the client that the line names.
        return isinstance(text, str) and (
            path != ("client_id",) or self.person.client_id in (None, text)
        )

    def _add(self, claims: Claims, path: ClaimPath, values: list[Scalar]) -> None:
        """Say all of ``values``, and what a claim that was cut short said already."""
        old = self._recorded.get(path)
        if isinstance(old, tuple) and old:
            # Said by ``least`` before: the same list grows.
            at: object = claims.members
            for segment in path:
                at = at[segment] if isinstance(at, dict) else None
            if not isinstance(at, list):
                raise Entangled
            at.extend(values)
        else:
            claims.say(path, values)

    def _place_of_scopes(self) -> ClaimPath:
        paths = (("scope",),) if self.issuer is None else self.issuer.scope_claims
        free = [path for path in paths if path not in self._recorded]
        unread = [path for path in free if path not in self._readers.wanted]
        return (*unread, *free, *paths)[0]

    def _say_client(self, claims: Claims) -> None:
        client = self.person.client_id
        said = next(
            (claims.members[name] for name in CLIENT_CLAIMS if claims.members.get(name)), None
        )
        if client is None or said == client:
            return
        free = [name for name in CLIENT_CLAIMS if (name,) not in self._recorded]
        unread = [name for name in free if (name,) not in self._readers.wanted]
        name = (*unread, *free, *CLIENT_CLAIMS)[0]
        claims.members.setdefault(name, client)
