"""Constant load from h2load and wrk, in slices that follow one another until it is enough."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

from tests.e2e.processes import required

from .client import Tally
from .inventory import HOST

_CODES = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
_DONE = re.compile(r"requests: .* (\d+) failed, (\d+) errored, (\d+) timeout")
_SLOWEST = re.compile(r"^time for request: +\S+ +([\d.]+)(us|ms|s)", re.MULTILINE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_ACCEPT = "application/json, text/event-stream"
_PING = '{"jsonrpc":"2.0","id":1,"method":"ping"}'

# Every other request is without a token. wrk does not say which request an answer is to, but an
# answer shows which one it can only be to.
_SCRIPT = """\
local good, turn, told = {good}, 0, {{}}
wrk.method, wrk.body = "POST", '{ping}'
wrk.headers["Host"], wrk.headers["Accept"] = "{host}", "{accept}"
wrk.headers["Content-Type"] = "application/json"
threads = {{}}
function setup(thread) threads[#threads + 1] = thread end
function init(args) ok, refused, wrong, bad = 0, 0, 0, 0 end
function delay() return {pause} end
function request()
  turn = turn + 1
  wrk.headers["Authorization"] = turn % 2 == 0 and good or nil
  return wrk.format(nil, "/steady/mcp")
end
function response(status, headers, body)
  if status == 200 and body:find('"x-auth-subject": "steady"', 1, true) then ok = ok + 1
  elseif status == 401 and body:find('"missing_token"', 1, true) then refused = refused + 1
  elseif status >= 500 then bad = bad + 1
  else wrong = wrong + 1 end
end
function done(summary, latency)
  local ok, refused, wrong, bad, e = 0, 0, 0, 0, summary.errors
  for _, thread in ipairs(threads) do
    ok, refused = ok + thread:get("ok"), refused + thread:get("refused")
    wrong, bad = wrong + thread:get("wrong"), bad + thread:get("bad")
  end
  local broken = e.connect + e.read + e.write + e.timeout
  io.write(string.format("TOLD %d %d %d %d %d %d\\n", ok, refused, wrong, bad, broken, latency.max))
end
"""


class Load(threading.Thread):
    """A load generator that is started again and again until ``stop``."""

    def __init__(self, name: str, stop: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.tally = Tally(name)
        self._stop_asking = stop

    def run(self) -> None:
        while not self._stop_asking.is_set():
            try:
                self.slice()
            except Exception as fault:  # noqa: BLE001  a thread's end must not pass unnoticed
                self.tally.complain(f"{type(fault).__name__}: {fault}")
                return

    def slice(self) -> None:
        raise NotImplementedError


def _said(command: list[str], seconds: float) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    return done.stdout + done.stderr


class H2load(Load):
    """HTTP/2 with a good token at so many requests per second."""

    def __init__(
        self,
        edge: str,
        port: int,
        token: str,
        folder: Path,
        stop: threading.Event,
        *,
        rate: int,
        seconds: int,
    ) -> None:
        super().__init__(f"h2load, {edge}", stop)
        clients, self._seconds = 4, seconds
        body = folder / "ping.json"
        body.write_text(_PING)
        self._command = [
            required("h2load", "apt-get install nghttp2-client"),
            *("-D", str(seconds), "-c", str(clients), "-m", "10"),
            *("--rps", str(max(1, rate // clients)), "-d", str(body)),
            *("-H", f":authority: {HOST}", "-H", f"authorization: Bearer {token}"),
            *("-H", f"accept: {_ACCEPT}", "-H", "content-type: application/json"),
            f"http://127.0.0.1:{port}/steady/mcp",
        ]

    def slice(self) -> None:
        text = _said(self._command, self._seconds)
        codes, done, slowest = _CODES.search(text), _DONE.search(text), _SLOWEST.search(text)
        if codes is None or done is None:
            raise RuntimeError(f"h2load said {text[-400:]!r}")
        for status, count in zip((200, 300, 400, 500), map(int, codes.groups()), strict=True):
            self.tally.statuses[status] += count
            if status != 200 and count:
                self.tally.wrong += count - 1
                self.tally.complain(f"{count} answers of {status} and more")
        errored = int(done[2]) + int(done[3])
        if errored:
            self.tally.statuses[0] += errored
            self.tally.complain(f"{errored} requests without an answer")
        if slowest is not None:
            seconds = float(slowest[1]) * _UNITS[slowest[2]]
            self.tally.slowest = max(self.tally.slowest, seconds)


class Wrk(Load):
    """HTTP/1.1, in turn with a good token and without one."""

    def __init__(
        self,
        edge: str,
        port: int,
        token: str,
        folder: Path,
        stop: threading.Event,
        *,
        rate: int,
        seconds: int,
    ) -> None:
        super().__init__(f"wrk, {edge}", stop)
        connections, self._seconds = 4, seconds
        script = folder / "wrk.lua"
        script.write_text(
            _SCRIPT.format(
                good=f'"Bearer {token}"',
                ping=_PING,
                host=HOST,
                accept=_ACCEPT,
                pause=max(1, 1000 * connections // rate),
            )
        )
        self._command = [
            required("wrk", "apt-get install wrk"),
            *("-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "5s"),
            *("-s", str(script), f"http://127.0.0.1:{port}/steady/mcp"),
        ]

    def slice(self) -> None:
        text = _said(self._command, self._seconds)
        told = re.search(r"^TOLD (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", text, re.MULTILINE)
        if told is None:
            raise RuntimeError(f"wrk said {text[-400:]!r}")
        good, refused, wrong, bad, broken, slowest = map(int, told.groups())
        self.tally.statuses.update({200: good, 401: refused, 400: wrong, 500: bad, 0: broken})
        if wrong or bad or broken:
            self.tally.wrong += wrong + bad + broken - 1
            self.tally.complain(f"{wrong} wrong answers, {bad} of 5xx, {broken} without one")
        self.tally.slowest = max(self.tally.slowest, slowest / 1e6)
