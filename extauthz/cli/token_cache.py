"""The file in which ``extauthz token`` keeps a token until it is about to expire.

One file per question (issuer, client, scope, resources), readable by its owner only.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

EXPIRY_MARGIN = 30.0
"""Seconds before its expiry from which a token is no longer handed out."""

_MAX_BYTES = 65_536
_ROUNDS = 100_000


@dataclass(frozen=True, slots=True)
class CachedToken:
    """A token and when it expires, in seconds since the epoch."""

    text: str
    expires_at: float


def cache_directory(environment: Mapping[str, str]) -> Path | None:
    """``$XDG_CACHE_HOME/extauthz/tokens``, else below ``~/.cache``; None without a home.

    A relative XDG_CACHE_HOME is ignored, as the XDG base directory specification asks.
    """
    base = Path(environment.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        home = Path(environment.get("HOME", ""))
        if not home.is_absolute():
            return None
        base = home / ".cache"
    return base / "extauthz" / "tokens"


def cache_file(directory: Path, question: Mapping[str, object], secret: str) -> Path:
    """The file for one question to one issuer, asked with one secret.

    The secret is part of it, so that a changed one is tried out. It is stretched, so that
    the name is no shortcut to a weak one.
    """
    text = json.dumps(question, sort_keys=True).encode()
    digest = hashlib.pbkdf2_hmac("sha256", secret.encode(), text, _ROUNDS)
    return directory / f"{digest.hex()[:32]}.json"


def read(file: Path, now: float) -> CachedToken | None:
    """The token in ``file`` if it is ours alone and lives on for `EXPIRY_MARGIN`."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        others = status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or others:
            return None
        try:
            content = json.loads(opened.read(_MAX_BYTES))
            found = CachedToken(str(content["token"]), float(content["expires_at"]))
        except (ValueError, KeyError, TypeError):
            return None
    return found if now + EXPIRY_MARGIN < found.expires_at else None


def write(file: Path, token: CachedToken) -> None:
    """Replace ``file`` in one step. Raises OSError when that cannot be done."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(fresh, flags, 0o600), "w") as opened:
            json.dump({"token": token.text, "expires_at": token.expires_at}, opened)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
