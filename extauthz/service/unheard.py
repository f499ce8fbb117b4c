"""Why there is no listening at an address, in words that name the setting to change."""

from __future__ import annotations

import errno
from typing import Final

from extauthz.adapters.sockets import CannotListen
from extauthz.config.model import ListenSettings
from extauthz.config.names import variable

_CURES: Final = {
    errno.EADDRINUSE: "another program, perhaps another extauthz, listens there; stop it, or set",
    errno.EEXIST: "remove it, or set",
    errno.EADDRNOTAVAIL: "this machine has no such address; set",
}


def why_unheard(fault: CannotListen, listen: ListenSettings) -> str:
    """What went wrong, and the setting whose address it is."""
    what = fault.strerror or str(fault)
    name = next((one for one in ("admin", "http", "grpc") if _is(listen, one, fault)), None)
    if name is None:
        return what
    cure = _CURES.get(fault.errno or 0, "set")
    setting = f"listen.{name}"
    return f"{what}: {cure} {setting} (flag --listen-{name}, variable {variable(setting)})"


def _is(listen: ListenSettings, name: str, fault: CannotListen) -> bool:
    return bool(getattr(listen, name) == fault.address)
