"""A recorded decision against a policy: does the request gain access, lose it, or neither?

The engine decides, as in ``serve``. What a line cannot tell is never guessed at: either it
makes no difference, or nobody can tell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, cast

from extauthz.core.engine import Engine
from extauthz.core.identity import TOO_LARGE
from extauthz.core.model import Allow, Call, Decision, Deny, Reason
from extauthz.core.policy import Policy, Server
from extauthz.telemetry.replayable import ODD

from .caller import Caller, Readers, TooMany
from .question import OPEN_CALL, call_is_told, question
from .record import Record
from .stand_in import NOW, Claims, Entangled, StandIn

MAX_PATH: Final = 511
"""Characters of a path that is surely whole: the log cuts longer ones."""

_REMEMBERED: Final = 10_000
_LARGEST_TOKEN: Final = 1024 * 1024
# Of credentials that were looked at and proved nothing.
_OF_THE_TOKEN: Final = frozenset(
    {
        Reason.MALFORMED_TOKEN,
        Reason.TOKEN_TOO_LARGE,
        Reason.UNSUPPORTED_ALGORITHM,
        Reason.UNKNOWN_ISSUER,
        Reason.UNKNOWN_KEY,
        Reason.BAD_SIGNATURE,
        Reason.WRONG_TOKEN_TYPE,
        Reason.WRONG_AUDIENCE,
        Reason.TOKEN_EXPIRED,
        Reason.TOKEN_NOT_YET_VALID,
        Reason.MISSING_CLAIM,
        Reason.REVOKED,
        Reason.BINDING_MISMATCH,
        Reason.KEYS_UNAVAILABLE,
        Reason.MALFORMED_REQUEST,
    }
)
# Of how the call is told; who calls makes no difference to them.
_OF_THE_CALL: Final = frozenset(
    {
        Reason.BATCH_REFUSED,
        Reason.MALFORMED_REQUEST,
        Reason.SOURCE_MISMATCH,
        Reason.UNVERIFIED_CALL,
    }
)


class Change(StrEnum):
    """What becomes of a request's access."""

    UNCHANGED = "unchanged"
    GAINED = "gained"
    LOST = "lost"
    CANNOT_TELL = "cannot_tell"


class Kept(StrEnum):
    """Why a decision is kept as it was recorded."""

    NO_ACCESS_ASKED = "no_access_asked"
    NO_TOKEN_TO_JUDGE = "token_not_judged_again"
    NO_REQUEST_TO_JUDGE = "request_not_judged_again"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one record.

    ``reason`` and ``detail`` are those of the refusal by the new policy, also where it only
    reports it (``audited``). Where the log does not tell whether there is one, there is no
    ``reason``, and ``detail`` says what is not known: for CANNOT_TELL, and for an audited server
    that lets the request through either way. ``server`` is the one that the new policy finds.
    """

    change: Change
    reason: Reason | None = None
    detail: str = ""
    server: str | None = None
    audited: bool = False
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class _Doubt:
    about: str
    server: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """Whether the new policy lets the request through, and why not, or why not quite."""

    access: bool
    reason: Reason | None = None
    detail: str = ""
    server: str | None = None
    kept: Kept | None = None
    public: bool = False

    @classmethod
    def of(cls, decision: Decision) -> _Found:
        match decision:
            case Allow():
                why = (decision.audited, decision.audited_detail)
                return cls(True, *why, decision.server, public=decision.public)
            case Deny():
                return cls(False, decision.reason, decision.detail, decision.server)
            case _:
                return cls(False, None, "answered without asking the server", decision.server)

    @property
    def plain(self) -> bool:
        """Whether it is let through with nothing to report."""
        return self.access and self.reason is None


class Judge:
    """Judges records by one policy. Remembers verdicts, a bounded number of them."""

    def __init__(self, policy: Policy) -> None:
        self._engine = Engine(
            replace(policy, token_max_bytes=_LARGEST_TOKEN, cache_entries=_REMEMBERED)
        )
        self._servers = {server.name: server for server in policy.servers}
        self._readers = Readers(policy)
        self._stand_in = StandIn(policy.issuers)
        self._verdicts: dict[tuple[Record, str], Verdict] = {}

    def judge(self, record: Record) -> Verdict:
        """What becomes of the access that a record tells of."""
        person = record.person
        if person is not None:
            person = self._readers.as_rules_see(person)
        record = replace(record, person=person, sample=1.0)
        # To Python, 1 and True are the same; to a condition they are not.
        key = (record, "" if person is None else repr(person.claims))
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            verdict = self._verdicts[key] = self._judge(record)
        return verdict

    def _judge(self, record: Record) -> Verdict:
        if record.outcome == "answer" or record.purpose is not None:
            return Verdict(Change.UNCHANGED, kept=Kept.NO_ACCESS_ASKED)
        if _is_no_request(record):
            return Verdict(Change.UNCHANGED, record.reason, kept=Kept.NO_REQUEST_TO_JUDGE)
        found = self._find(record)
        if isinstance(found, _Doubt):
            return Verdict(Change.CANNOT_TELL, None, found.about, found.server)
        if found.access == record.had_access:
            change = Change.UNCHANGED
        else:
            change = Change.GAINED if found.access else Change.LOST
        audited = found.access and found.reason is not None
        return Verdict(change, found.reason, found.detail, found.server, audited, found.kept)

    def _find(self, record: Record) -> _Found | _Doubt:
        about = _not_whole(record)
        if about:
            return _Doubt(about, record.server)
        if record.person is None:
            return self._bare(record)
        return self._with_caller(record, Caller(record.person, self._readers))

    def _bare(self, record: Record) -> _Found | _Doubt:
        """A request of whose credentials nothing was proved."""
        found = self._ask(record, None)
        if found.plain and record.reason is Reason.MALFORMED_REQUEST:
            return _Doubt("why the request was malformed", found.server)
        if record.reason is Reason.BAD_ORIGIN and self._takes_odd_origin(record, found.server):
            return _Doubt("the Origin, which is an odd one", found.server)
        if found.reason is not Reason.MISSING_TOKEN or record.without_credentials:
            return found
        if record.reason is Reason.MISSING_TOKEN:
            return found
        if record.reason in _OF_THE_TOKEN:
            return replace(
                found, reason=record.reason, detail=record.detail, kept=Kept.NO_TOKEN_TO_JUDGE
            )
        if found.access:
            return replace(found, reason=None, detail="")
        return _Doubt("the token, at which nobody looked", found.server)

    def _takes_odd_origin(self, record: Record, server: str | None) -> bool:
        """Whether a server for pages of any origin is asked by one that the log does not write.

        It takes those that can be sent back in a header, and refuses the others.
        """
        found = self._servers.get(server or "")
        return record.origin == ODD and found is not None and found.origins is None

    def _with_caller(self, record: Record, caller: Caller) -> _Found | _Doubt:
        """A request of a caller whose token verified."""
        try:
            least = caller.least()
        except Entangled:
            return _Doubt("claims that contradict each other", record.server)
        found = self._ask(record, caller, least)
        server = self._servers.get(found.server or "")
        if server is None or found.public:
            return found
        call: Call | None = None
        open_points: tuple[str, ...] = ()
        if not call_is_told(record, server):
            call = OPEN_CALL
            found = self._ask(record, caller, least, call)
            open_points = ("the call",)
        if found.plain and not open_points and not caller.blurs(server):
            return self._unless_headers_matter(record, found)
        open_points = (*open_points, *caller.open_points(server))
        if not found.plain:
            certain = not open_points or found.reason in _OF_THE_CALL
            settled = found if certain else self._at_best(record, caller, server, call)
            if settled is not None:
                return settled
        unknown = " and ".join(open_points)
        if server.audit:
            # It lets through whatever comes; what it would report cannot be told.
            return replace(found, access=True, reason=None, detail=f"not in the log: {unknown}")
        return _Doubt(unknown, server.name)

    def _at_best(
        self, record: Record, caller: Caller, server: Server, call: Call | None
    ) -> _Found | None:
        """Why he is refused even where all that is open speaks for him; None where he may pass."""
        best = None
        try:
            for claims in caller.most(server):
                best = self._ask(record, caller, claims, call)
                if best.plain:
                    return None
        except (Entangled, TooMany):
            return None
        return best

    @staticmethod
    def _unless_headers_matter(record: Record, found: _Found) -> _Found | _Doubt:
        of_headers = record.reason is Reason.MALFORMED_TOKEN or (
            record.reason is TOO_LARGE.reason and record.detail == TOO_LARGE.detail
        )
        if of_headers:
            return _Doubt("the claims that are forwarded as headers", found.server)
        return found

    def _ask(
        self,
        record: Record,
        caller: Caller | None,
        claims: Claims | None = None,
        call: Call | None = None,
    ) -> _Found:
        token = None
        if caller is not None and claims is not None:
            token = self._stand_in.token(caller.issuer, claims)
        request = question(record, token, call)
        decision = cast(
            "Decision",  # never NeedKeys, since missing_key is given
            self._engine.decide(
                request, self._stand_in.keys, now=NOW, missing_key=Reason.UNKNOWN_KEY
            ),
        )
        return _Found.of(decision)


def _is_no_request(record: Record) -> bool:
    """Whether the request was refused as no configuration would have had it."""
    reason = record.reason
    if reason in (Reason.AMBIGUOUS_PATH, Reason.UNTRUSTED_PROXY):
        return True
    if record.server is None and reason in (Reason.MALFORMED_REQUEST, Reason.KEYS_UNAVAILABLE):
        return True
    return reason is Reason.NO_MATCHING_SERVER and (record.host is None or record.path is None)


def _not_whole(record: Record) -> str:
    if record.config is None:
        return "the rest: the line was written before lines told enough"
    if record.cut:
        return "the rest: the line was too long and was cut"
    if record.host is None or record.path is None:
        return "host and path"
    if len(record.path) > MAX_PATH:
        return "the end of the path"
    return ""
