"""Whether the extauthz that answers goes by the file that doctor was given.

Its admin listener tells, where the file names one that can be reached from here. That it is the one
behind the edge shows in its counters, which the examination moves.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Final

import httpx

import extauthz
from extauthz.config.addresses import Address, TcpAddress
from extauthz.telemetry.decision_log import DOCTOR

from .catalogue import Code
from .findings import Report

TITLE: Final = "the running extauthz goes by this file"
_MOST_BYTES: Final = 64 * 1024 * 1024
_MOST_SECONDS: Final = 3.0
# Workers tell what they have counted four times a second.
_SETTLING_SECONDS: Final = 1.0
_PAUSE: Final = 0.05
_MAX_TEXT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFile:
    """The file that doctor was given; ``digest`` and ``meaning`` are as /status has them."""

    source: str
    digest: str
    meaning: str
    admin: Address | None


@dataclass(frozen=True, slots=True)
class _Told:
    """What a status says. ``decisions`` counts since the start."""

    version: str
    source: str
    digest: str
    meaning: str
    problem: str
    decisions: int


class Running:
    """Looks at the admin listener before an examination, and again after it."""

    def __init__(self, given: GivenFile, timeout: float) -> None:
        self._given = given
        self._timeout = min(timeout, _MOST_SECONDS)
        self._before = self._look()

    def judge(self, report: Report) -> None:
        """Compare its configuration with the file; comes first in the report."""
        with report.step(TITLE, first=True) as step:
            told = self._look_again()
            if isinstance(told, str):
                step.skipped = told
            elif self._same(told):
                return
            elif told.version != extauthz.__version__ or not told.meaning:
                step.skipped = (
                    f"its file is written otherwise, and what that means to its version "
                    f"({told.version}) cannot be told here"
                )
            else:
                report.found(Code.OTHER_CONFIGURATION, self._seen(told))

    def _look_again(self) -> _Told | str:
        if isinstance(self._before, str):
            return self._before
        deadline = time.monotonic() + _SETTLING_SECONDS
        while True:
            told = self._look()
            if isinstance(told, str) or told.decisions > self._before.decisions:
                return told
            if time.monotonic() > deadline:
                where = self._given.admin
                return f"no request of doctor's came to the extauthz at listen.admin ({where})"
            time.sleep(_PAUSE)

    def _look(self) -> _Told | str:
        """What the listener tells, or why nothing is known."""
        where = self._given.admin
        if where is None:
            return "listen.admin is off"
        try:
            told = _told(_status(where, self._timeout))
        except httpx.RemoteProtocolError:
            told = None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            why = str(error) or type(error).__name__
            return f"nobody answers here at listen.admin ({where}): {why}"
        return told or f"what answers at listen.admin ({where}) is no status of extauthz"

    def _same(self, told: _Told) -> bool:
        given = self._given
        return told.digest == given.digest or told.meaning == given.meaning

    def _seen(self, told: _Told) -> str:
        given = self._given
        seen = f"it goes by {told.source} ({told.digest}), and {given.source} is {given.digest}"
        return f"{seen}; a changed file was not taken: {told.problem}" if told.problem else seen


def _status(where: Address, timeout: float) -> object:
    """The status as JSON, None where it is none. Raises HTTPError where no answer comes in time."""
    deadline = time.monotonic() + timeout
    with _client(where, timeout) as client, client.stream("GET", "/status") as response:
        received = bytearray()
        for part in response.iter_raw():
            received += part
            if len(received) > _MOST_BYTES or time.monotonic() > deadline:
                raise httpx.ReadTimeout("no end of the answer")
    try:
        return json.loads(received)
    except (ValueError, RecursionError):
        return None


def _client(where: Address, timeout: float) -> httpx.Client:
    if isinstance(where, TcpAddress):
        url, path = f"http://{where.from_here()}", None
    else:
        url, path = "http://localhost", where.path
    return httpx.Client(
        base_url=url,
        headers={
            "Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": DOCTOR
        },
        timeout=timeout,
        transport=httpx.HTTPTransport(uds=path, trust_env=False),
        trust_env=False,
    )  # fmt: skip


def _told(status: Any) -> _Told | None:
    """What a status says; None where it is none of ours."""
    try:
        config = status["health"]["config"]
        rows = [row for server in status["servers"] for row in server["outcomes"]]
        problems = config["problems"]
        return _Told(
            _text(status["version"]),
            _text(config["source"]),
            _text(config["digest"]),
            _text(config.get("meaning", "")),
            _text(problems[0]) if problems else "",
            sum(int(row["since_start"]) for row in [*rows, *status["elsewhere"]]),
        )
    except (TypeError, LookupError, ValueError, AttributeError, OverflowError):
        return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value[:_MAX_TEXT]
