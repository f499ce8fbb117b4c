"""What may hang is done apart: in a thread of its own, one for each thing and never two.

Nobody can end a thread that waits for a name server or a disk. In threads that all share, a few
of those would in time hold up everything else, and with it the issuers that are well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, TypeVar

_T = TypeVar("_T")

_lock = Lock()
_under_way: dict[Hashable, Future[Any]] = {}


async def apart(work: Callable[..., _T], *arguments: Hashable) -> _T:
    """What ``work(*arguments)`` returns or raises.

    Who asks for the same while it goes on shares its end, and takes no thread. Giving up does
    not end it, nor does it keep the process from ending.
    """
    what = (work, arguments)
    with _lock:
        done = _under_way.get(what)
        if done is None:
            done = _under_way[what] = Future()
            # From now on nobody who gives up can cancel it for the others.
            done.set_running_or_notify_cancel()
            try:
                Thread(target=_do, args=(what, done), name="apart", daemon=True).start()
            except BaseException:
                del _under_way[what]
                raise
    outcome: _T = await asyncio.wrap_future(done)
    return outcome


def _do(what: tuple[Callable[..., Any], tuple[Hashable, ...]], done: Future[Any]) -> None:
    work, arguments = what
    try:
        outcome = work(*arguments)
    except BaseException as fault:  # noqa: BLE001  it is for those who wait
        _forget(what)
        done.set_exception(fault)
    else:
        _forget(what)
        done.set_result(outcome)


def _forget(what: Hashable) -> None:
    # First forgotten and then told: who has been told and asks again gets a new answer.
    with _lock:
        del _under_way[what]
