"""Load from h2load, and what came of it."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from world import CHECK_PATH, grpc_frame

_DONE: Final = re.compile(r"finished in [\d.]+\w+, ([\d.]+) req/s")
_STATUS: Final = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
_FAILED: Final = re.compile(r"(\d+) failed, (\d+) errored, (\d+) timeout")


@dataclass(frozen=True, slots=True)
class Load:
    """One run: requests per second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    p999: float
    refused: int = 0

    def __str__(self) -> str:
        return (
            f"{self.rate:8.0f}/s  p50 {self.p50:.2f}  p99 {self.p99:.2f}  p99.9 {self.p999:.2f} ms"
        )


def missing_tool() -> str | None:
    """What has to be installed first, if anything."""
    return None if shutil.which("h2load") else "h2load (Debian: apt-get install nghttp2-client)"


def grpc(
    port: int,
    message: bytes,
    *,
    seconds: float,
    clients: int = 4,
    streams: int = 25,
    per_second: int | None = None,
    warm_up: float = 0.3,
    tls: bool = False,
) -> Load:
    """Check calls over HTTP/2, ``clients`` connections with ``streams`` calls each at a time.

    With ``per_second`` no more than so many are begun in all.
    """
    paced = [] if per_second is None else [f"--rps={per_second / clients}"]
    with tempfile.NamedTemporaryFile(suffix=".bin") as body:
        body.write(grpc_frame(message))
        body.flush()
        headers = {"content-type": "application/grpc", "te": "trailers"}
        return _h2load(
            f"{'https' if tls else 'http'}://127.0.0.1:{port}{CHECK_PATH}",
            headers,
            [f"-c{clients}", f"-m{streams}", "-d", body.name, *paced],
            seconds,
            warm_up,
        )


def http(
    port: int,
    path: str,
    headers: Mapping[str, str],
    *,
    seconds: float,
    clients: int = 32,
    warm_up: float = 0.3,
) -> Load:
    """GET requests over HTTP/1.1, one at a time on each of ``clients`` connections."""
    options = ["--h1", f"-c{clients}", "-m1"]
    return _h2load(f"http://127.0.0.1:{port}{path}", headers, options, seconds, warm_up)


def median(loads: list[Load]) -> Load:
    """Of several runs, the median of each figure."""
    return Load(
        rate=statistics.median(one.rate for one in loads),
        p50=statistics.median(one.p50 for one in loads),
        p99=statistics.median(one.p99 for one in loads),
        p999=statistics.median(one.p999 for one in loads),
        refused=sum(one.refused for one in loads),
    )


def _h2load(
    url: str, headers: Mapping[str, str], options: list[str], seconds: float, warm_up: float
) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [
            "h2load",
            "-t1",
            f"-D{seconds * 1000:.0f}ms",
            f"--warm-up-time={warm_up * 1000:.0f}ms",
            f"--log-file={log}",
        ]
        for name, value in headers.items():
            # Given as Host it would be sent beside h2load's own.
            command += ["-H", f"{':authority' if name == 'host' else name}: {value}"]
        try:
            done = subprocess.run(
                [*command, *options, url],
                capture_output=True,
                text=True,
                timeout=seconds + 60,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError("h2load did not end") from None
        taken = sorted(int(line.rsplit("\t", 1)[1]) / 1000 for line in log.read_text().splitlines())
    rate, status, failed = (found.search(done.stdout) for found in (_DONE, _STATUS, _FAILED))
    if rate is None or status is None or failed is None or not taken:
        raise RuntimeError(f"h2load said:\n{done.stdout}{done.stderr}")
    wrong = sum(map(int, status.groups()[1:])) + sum(map(int, failed.groups()))

    def percentile(share: float) -> float:
        return taken[min(len(taken) - 1, int(len(taken) * share))]

    return Load(float(rate[1]), percentile(0.5), percentile(0.99), percentile(0.999), wrong)
