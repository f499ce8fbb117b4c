"""When to fetch next. Pure: seconds in, seconds out; ``random`` is from 0 up to 1."""

from __future__ import annotations

from .source import IssuerSource

SHORTEST_REFRESH = 30.0
"""``Cache-Control`` never makes us fetch more often (seconds)."""

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 60.0
LONGEST_BACKOFF_WITHOUT_KEYS = 10.0
FILE_REREAD = 5.0

_JITTER = 0.1
_LEAST = 1.0  # whatever is configured, nobody is asked in a tight loop


def after_success(
    source: IssuerSource, max_age: float | None, random: float, *, took: float = 0.0
) -> float:
    """Seconds to the next scheduled refresh, from the end of an attempt that ``took`` so many.

    ``max_age`` may shorten ``source.refresh``, never under SHORTEST_REFRESH. Up to a tenth
    is taken off at random, so that many instances do not ask at once, and never added, so
    that a withdrawn key is gone after ``refresh``. A file is cheap, and read more often.

    Where keys must not serve for as long as that, the next attempt may take its whole
    ``source.timeout`` and still end before they are ``max_stale`` old. Where they may hardly
    serve at all no attempt could: they are refreshed as others are, and go when one fails.
    """
    longest = source.refresh
    if source.jwks_file is not None:
        longest = min(longest, FILE_REREAD)
    pause = longest if max_age is None else min(longest, max_age)
    shortest = max(_LEAST, min(SHORTEST_REFRESH, longest * (1.0 - _JITTER)))
    pause = max(pause * (1.0 - _JITTER * random), shortest)
    if source.max_stale > _LEAST:
        in_time = source.max_stale - source.timeout - took
        pause = min(pause, max(in_time * (1.0 - _JITTER * random), _LEAST))
    return pause


def after_failure(
    source: IssuerSource,
    failures: int,
    retry_after: float | None,
    random: float,
    *,
    holds_keys: bool,
) -> float:
    """Seconds to the next attempt after so many failures in a row (at least one).

    Doubles from FIRST_BACKOFF, give or take a tenth, to at most LONGEST_BACKOFF; less where
    no keys are held, since then every token of the issuer waits, and for a file, which costs
    nobody anything. What the other side asks
    for (``retry_after``) counts if it is longer: see ``asked_pause``.
    """
    longest = LONGEST_BACKOFF if holds_keys else LONGEST_BACKOFF_WITHOUT_KEYS
    if source.jwks_file is not None:
        longest = FILE_REREAD
    pause = min(FIRST_BACKOFF * 2.0 ** min(failures - 1, 10), longest, source.refresh)
    pause = max(_LEAST, pause) * (1.0 - _JITTER + 2 * _JITTER * random)
    return max(pause, asked_pause(source, retry_after, holds_keys=holds_keys))


def asked_pause(source: IssuerSource, retry_after: float | None, *, holds_keys: bool) -> float:
    """Seconds for which the other side is left alone because it asks for it.

    At most ``source.refresh``, and at most LONGEST_BACKOFF where no keys are held.
    """
    if retry_after is None:
        return 0.0
    limit = source.refresh if holds_keys else min(LONGEST_BACKOFF, source.refresh)
    return min(retry_after, limit)
