"""A real `extauthz serve`, a part of which raises while a test wants it to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.processes import accepts, program
from tests.service.conftest import Running

_CODE = """\
import inspect, os, pkgutil, sys
owner, _, name = {part!r}.rpartition(".")
owner = pkgutil.resolve_name(owner)
usual = getattr(owner, name)
broken = lambda: os.path.exists({flag!r})
if inspect.iscoroutinefunction(usual):
    async def instead(*arguments, **named):
        if broken():
            raise {fault}
        return await usual(*arguments, **named)
else:
    def instead(*arguments, **named):
        if broken():
            raise {fault}
        return usual(*arguments, **named)
setattr(owner, name, instead)
from extauthz.cli import main
sys.exit(main(["serve", "--config", {file!r}]))
"""


@contextmanager
def breakable(running: Running, part: str, fault: str = "MemoryError()") -> Iterator[Path]:
    """Serve; while the file that is yielded exists, ``part`` (a dotted name) raises ``fault``."""
    flag = running.folder / "broken"
    code = _CODE.format(part=part, flag=str(flag), fault=fault, file=str(running.file))

    def up() -> bool:
        return accepts(running.ports["admin"]) and running.status()["health"]["listening"]

    with program([sys.executable, "-c", code], running.log, up) as process:
        running.process = process
        yield flag
