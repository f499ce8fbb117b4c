"""Whether the extauthz that answers goes by the file that doctor was given.

Its admin listener tells, where the file names one that can be reached from here. That it is the one
behind the edge shows in its counters, which the examination moves.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any, Final

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
_HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where others listen
_MAX_TEXT: Final = 200
_QUESTION: Final = (
    b"GET /status HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
    b"User-Agent: %s\r\nConnection: close\r\n\r\n" % DOCTOR.encode()
)


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
        except OSError as error:
            why = error.strerror or type(error).__name__
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
    """The status as JSON, None where it is none. Raises OSError where no answer comes in time."""
    answer = _Received(_answer(where, timeout))
    response = HTTPResponse(answer)  # type: ignore[arg-type]  # all that it asks of a socket
    try:
        response.begin()
        return json.loads(response.read())
    except (HTTPException, ValueError, RecursionError):
        return None


def _answer(where: Address, timeout: float) -> bytes:
    received = bytearray()
    deadline = time.monotonic() + timeout
    with _connected(where, timeout) as connection:
        connection.sendall(_QUESTION)
        while len(received) < _MOST_BYTES:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            part = connection.recv(65536)
            if not part:
                break
            received += part
    return bytes(received)


def _connected(where: Address, timeout: float) -> socket.socket:
    if isinstance(where, TcpAddress):
        return socket.create_connection((_HERE.get(where.host, where.host), where.port), timeout)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(where.path)
    except OSError:
        connection.close()
        raise
    return connection


class _Received:
    """What was received, as a parser of answers reads it from a socket."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, _mode: str) -> BytesIO:
        return BytesIO(self._octets)


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
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value[:_MAX_TEXT]
