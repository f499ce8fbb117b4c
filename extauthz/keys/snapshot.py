"""Last good keys on disk, so that a restart during an issuer's outage can serve.

One file for each source of keys, named by a hash. Whatever is wrong with a file, or with the disk,
costs the snapshot and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .source import IssuerSource

_log = logging.getLogger(__name__)

_VERSION = 1
_CLOCK_SKEW = 60.0  # seconds a snapshot may seem to come from the future


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A JWK set document and when it was fetched, in seconds since the epoch."""

    document: bytes
    fetched_at: float


class SnapshotFolder:
    """Keeps the last good document of each issuer under ``path``.

    Its functions block; call them in a thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, source: IssuerSource, snapshot: Snapshot) -> None:
        """Put the document in place of the last one, whole or not at all; never raises."""
        content = json.dumps(
            {
                "version": _VERSION,
                "issuer": source.issuer,
                "origin": _origin(source),
                "fetched_at": snapshot.fetched_at,
                "document": snapshot.document.decode("utf-8", "replace"),
            }
        ).encode("ascii")
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._replace(self._file(source), content)
        except OSError as fault:
            _log.warning(
                "no snapshot of the keys of issuer %s was written under %s: %s",
                source.name,
                self._path,
                fault.strerror or type(fault).__name__,
            )

    def load(self, source: IssuerSource, now: float) -> Snapshot | None:
        """The last document of this very source if it is younger than ``max_stale``.

        ``now`` is in seconds since the epoch. None, with a warning where it may matter, for
        a file that is missing, damaged, too old, from the future, another source's, or that
        others than this user may write; never raises.
        """
        try:
            content = self._read(self._file(source), source.max_bytes)
            if content is None:
                return None
            snapshot = _parsed(content, source)
        except (OSError, ValueError, OverflowError, RecursionError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else str(fault)
            _log.warning("the key snapshot of issuer %s is ignored: %s", source.name, reason)
            return None
        age = now - snapshot.fetched_at
        if not -_CLOCK_SKEW <= age < source.max_stale:
            _log.warning(
                "the key snapshot of issuer %s is ignored: %s",
                source.name,
                "it is from the future" if age < 0 else "it is older than keys.max_stale",
            )
            return None
        return snapshot

    def _file(self, source: IssuerSource) -> Path:
        # Not by the issuer alone: two sources may have the same one, and other keys.
        return self._path / f"keys-{_origin(source)[:32]}.json"

    def _replace(self, target: Path, content: bytes) -> None:
        # mkstemp gives mode 0600 and a name of its own to each of several workers.
        handle, temporary = tempfile.mkstemp(dir=self._path, prefix=".keys-", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise

    def _read(self, file: Path, max_bytes: int) -> bytes | None:
        try:
            handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(handle, "rb") as opened:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is not a regular file")
            # Whoever writes this file says which tokens are good.
            if status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o022:
                raise ValueError("others than this user may write it")
            # JSON in JSON: at worst every byte becomes six.
            limit = 6 * max_bytes + 4096
            content = opened.read(limit + 1)
        if len(content) > limit:
            raise ValueError("it is too large")
        return content


def _parsed(content: bytes, source: IssuerSource) -> Snapshot:
    try:
        value = json.loads(content)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(value, dict) or value.get("version") != _VERSION:
        raise ValueError("it was not written by this version")
    if value.get("issuer") != source.issuer or value.get("origin") != _origin(source):
        raise ValueError("it was written for other settings of the issuer")
    document, fetched_at = value.get("document"), value.get("fetched_at")
    if not isinstance(document, str) or not isinstance(fetched_at, float | int):
        raise ValueError("a member is missing")  # noqa: TRY004  a file's fault, not a caller's
    return Snapshot(document.encode("utf-8"), float(fetched_at))


def _origin(source: IssuerSource) -> str:
    return hashlib.sha256(repr(source.origin).encode("utf-8", "backslashreplace")).hexdigest()
