"""Whether the proxy waits as long as extauthz may: what clients feel after a key rotation."""

from __future__ import annotations

import time

from extauthz.core.model import Reason

from .catalogue import Code
from .examination import Examination
from .intruder import made_up
from .replies import Reply

# A little less than the 250 ms that a request waits for the keys of an issuer, in seconds.
_KEY_WAIT = 0.2


def unknown_key(exam: Examination, first: Reply) -> None:
    """A key id that was never seen has to be looked for; the proxy must have that patience."""
    with exam.report.step("the proxy waits while a key is looked for") as step:
        if first.ok:
            step.skipped = "nothing is refused"
            return
        body = exam.harmless
        lines = [*exam.session.lines(body), ("Authorization", f"Bearer {made_up(exam)}")]
        started = time.perf_counter()
        reply = exam.wire.send("POST", exam.edge.path, lines, body)
        waited = time.perf_counter() - started
        seen = f"a token with an unknown key id: {reply} after {waited * 1000:.0f} ms"
        if reply.ok:
            exam.found(Code.BAD_TOKEN_TAKEN, seen)
        elif reply.broken or reply.status == 0 or _is_hurried(exam, reply, waited):
            exam.found(Code.TIMEOUT_TOO_SHORT, seen)


def _is_hurried(exam: Examination, reply: Reply, waited: float) -> bool:
    """Over gRPC extauthz hears how long the proxy waits, and answers before that."""
    explained = exam.report.has(Code.ISSUER_KEYS) or exam.report.has(Code.ISSUER_METADATA)
    return reply.reason == Reason.KEYS_UNAVAILABLE and waited < _KEY_WAIT and not explained
