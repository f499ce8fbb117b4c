"""Records of the standard library's loggers as log lines, and how the loggers are set up.

Of an exception, its type and where it was raised are written, its text only where the
operating system wrote it: other texts may quote what they choked on, which may be a token.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import PurePath
from typing import Final

from .formats import Fields, timestamp
from .log_pipe import LogPipe, PipeHandler

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn's, with escape sequences for terminals
}
_CHATTY = ("httpx", "httpcore", "asyncio", "uvicorn.access")
# It writes down whatever headers it reads, and with them the secrets among the metadata of calls.
_TELLTALE = "hpack"
_FRAMES = 12


class RecordLine:
    """One record: its message, and as further fields what ``extra`` held."""

    __slots__ = ("_fields",)

    def __init__(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {
            "ts": timestamp(record.created),
            "level": record.levelname.lower(),
            "msg": _message(record),
            "logger": record.name,
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        problem = record.exc_info[1] if record.exc_info else None
        if problem is not None:
            fields["exception"] = described(problem)
            fields["traceback"] = _frames(problem)
        self._fields = fields

    def fields(self) -> Fields:
        """The fields as they were when the record was made."""
        return self._fields


def described(problem: BaseException) -> str:
    """The type of an exception and of what caused it, with the system's own error texts."""
    texts: list[str] = []
    seen: BaseException | None = problem
    while seen is not None and len(texts) < 5:
        name = type(seen).__name__
        if isinstance(seen, OSError) and seen.strerror:
            about = f" ({seen.filename})" if isinstance(seen.filename, str) else ""
            name = f"{name}: {seen.strerror}{about}"
        texts.append(name)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return ", from ".join(texts)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  arguments that do not fit the text, or refuse to be text
        return str(record.msg)


def _frames(problem: BaseException) -> list[str]:
    frames = traceback.extract_tb(problem.__traceback__)[-_FRAMES:]
    return [
        f"{'/'.join(PurePath(frame.filename).parts[-3:])}:{frame.lineno} {frame.name}"
        for frame in frames
    ]


def send_logs_to(pipe: LogPipe, *, level: str) -> PipeHandler:
    """Send every logger's records of ``level`` (a key of LEVELS) and above into the pipe.

    Libraries that report each connection or fetch at ``info`` do so at ``debug`` here.
    """
    handler = PipeHandler(pipe, RecordLine)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    logging.captureWarnings(True)
    logging.raiseExceptions = False
    return handler


def set_level(level: str) -> None:
    """Change the level of all loggers, also while running."""
    number = LEVELS[level]
    logging.getLogger().setLevel(number)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING) if number > 10 else number)
    logging.getLogger(_TELLTALE).setLevel(max(number, logging.WARNING))
