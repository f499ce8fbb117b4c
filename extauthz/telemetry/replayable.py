"""What a decision line holds so that ``extauthz replay`` can judge the request once more.

Nothing of it is worked out where no line is wanted. Claims are those of verified tokens that
some rule in force reads; every value is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from extauthz.core.calls import BODILESS, source_of, told_in_passing
from extauthz.core.claims import MISSING, ClaimPath, claim_at, claim_name
from extauthz.core.documents import is_preflight
from extauthz.core.identity import TOO_LARGE
from extauthz.core.model import Allow, Call, Deny, Reason, Request
from extauthz.core.policy import AUDIENCE_CLAIM, MCP_VERSION, NAME, SCOPE_CLAIMS, Issuer, Policy
from extauthz.core.verified import VerifiedToken

from .hashing import hashed

ODD: Final = "(odd)"
"""Stands for an Origin or a server's name that is not fit to be written, nor to be configured."""

MAX_TEXT: Final = 128
"""Characters of a text in a claim; of a longer one nothing is written."""

MAX_CLAIMS: Final = 2048
"""Characters that all claims of one line have together."""

_ORIGIN: Final = re.compile(r"null|[A-Za-z][A-Za-z0-9+.-]{0,30}://[A-Za-z0-9._:\[\]-]{1,255}")


@dataclass(frozen=True, slots=True)
class InForce:
    """What lines have to tell of the configuration that decided.

    ``digest`` names it; ``claims`` are the paths of the claims that some rule reads, but for
    the subject, which has a field of its own; ``ruled`` are the servers that have rules for
    calls.
    """

    digest: str = ""
    claims: tuple[ClaimPath, ...] = ()
    ruled: frozenset[str] = frozenset()

    @classmethod
    def of(cls, policy: Policy) -> InForce:
        """What is in force with a policy."""
        paths = {one.path for server in policy.servers for one in server.conditions}
        return cls(
            policy.digest[:12],
            tuple(sorted(paths - {("sub",)})),
            frozenset(server.name for server in policy.servers if server.has_call_rules),
        )


NOTHING: Final = InForce()
"""Where no configuration is in force: tests, and lines that nobody replays."""


class Told(NamedTuple):
    """The call of a request, the source that told it, and the version its headers were of.

    ``source`` is None where nobody looked for a call. ``version`` is as the client sent it.
    ``passing`` is a request whose proxy told a call that no rule asked for.
    """

    call: Call | None = None
    source: str | None = None
    version: str | None = None
    passing: Request | None = None

    def settled(self) -> Told:
        """The same with nothing left to be worked out, and nothing in it that is not to be seen."""
        if self.passing is not None:
            call = told_in_passing(self.passing)
            return UNTOLD if call is None else Told(call, "mcp")
        if self.version is not None and not MCP_VERSION.fullmatch(self.version):
            return self._replace(version=None)
        return self


UNTOLD: Final = Told()
_READ_WITH: Final = ("mcp-method", "mcp-name", "content-type", "content-encoding")


def call_told(request: Request | None, decision: Allow | Deny, ruled: frozenset[str]) -> Told:
    """What was told of the call, whether a rule asked for it or not."""
    if request is None or decision.token is None or request.method in BODILESS:
        return UNTOLD
    call = decision.call
    if call is None and not (decision.server in ruled and _looked_at(decision)):
        if request.mcp_metadata is None:
            return UNTOLD
        # Lines wait: they keep no more of a request than they need.
        headers = request.headers
        said = {name: headers[name] for name in _READ_WITH if name in headers}
        return Told(
            passing=Request(
                method="POST",
                host="",
                target="",
                headers=said,
                repeated=request.repeated,
                mcp_metadata=request.mcp_metadata,
            )
        )
    source = source_of(request)
    if source != "headers" or "mcp-protocol-version" in request.repeated:
        return Told(call, source)
    return Told(call, source, request.headers.get("mcp-protocol-version", "")[:11])


def _looked_at(decision: Allow | Deny) -> bool:
    """Whether a server with rules for calls came so far as to look for one."""
    if isinstance(decision, Deny):
        reason, detail = decision.reason, decision.detail
    elif decision.audited is not None:
        reason, detail = decision.audited, decision.audited_detail
    else:
        return True
    return reason is not Reason.MALFORMED_TOKEN and detail != TOO_LARGE.detail


def purpose_of(request: Request, transport: str) -> str | None:
    """What was asked for where that is no access: a preflight, or a document at our listener."""
    if is_preflight(request):
        return "preflight"
    # In band over HTTP is the one door that lets nobody through.
    return "document" if request.in_band and transport == "http" else None


def fit_origin(origin: str) -> str:
    """An Origin as it may be written."""
    return origin if _ORIGIN.fullmatch(origin) else ODD


def fit_name(name: str) -> str:
    """The name that a proxy gave a server, as it may be written."""
    return name if NAME.fullmatch(name) else ODD


def claims_read(token: VerifiedToken, paths: Iterable[ClaimPath]) -> tuple[object, ...]:
    """The values of those claims, MISSING where there is none."""
    claims = token.facts.claims
    return tuple([claim_at(claims, path) for path in paths])


def claim_fields(
    paths: Iterable[ClaimPath], values: Iterable[object], *, hashing: bool
) -> dict[str, object]:
    """The fields that tell of claims. ``hashing``: texts are written as subjects are.

    A condition compares with texts, numbers and booleans only: what an object or an inner
    array holds is not written. An absent claim is null, and ``claims_cut`` names those of
    which something that counts was left out.
    """
    room = MAX_CLAIMS
    written: dict[str, object] = {}
    cut: list[str] = []
    for path, value in zip(paths, values, strict=True):
        name = claim_name(path)
        short, whole = _bounded(value, room, hashing)
        if not whole:
            cut.append(name)
        written[name] = short
        room -= len(name) + _length(short)
    return {"claims": written, "claims_cut": cut} if cut else {"claims": written}


def _bounded(value: object, room: int, hashing: bool) -> tuple[object, bool]:
    if not isinstance(value, list):
        return _scalar(value, min(room, MAX_TEXT), hashing)
    kept: list[object] = []
    whole = True
    for element in value:
        short, fits = _scalar(None if isinstance(element, dict) else element, MAX_TEXT, hashing)
        room -= _length(short) + 1
        if room < 0:
            return kept, False
        whole = whole and fits
        kept.append(short)
    return kept, whole


def _scalar(value: object, room: int, hashing: bool) -> tuple[object, bool]:
    if isinstance(value, dict):
        return {}, True
    if value is MISSING or isinstance(value, list):
        return None, True
    if isinstance(value, str) and hashing:
        value = hashed(value)
    return (value, True) if _length(value) <= room else (None, False)


def _length(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":")))


def claim_sources(issuer: Issuer) -> dict[str, object]:
    """Where audience and scopes were read, where that is not where they usually are."""
    fields: dict[str, object] = {}
    if issuer.audience_claim != AUDIENCE_CLAIM:
        fields["audience_claim"] = claim_name(issuer.audience_claim)
    if issuer.scope_claims != SCOPE_CLAIMS:
        fields["scope_claims"] = tuple(map(claim_name, issuer.scope_claims))
    return fields
