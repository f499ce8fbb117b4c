"""What is measured, chapter by chapter."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Final

import decisions
import load
from disturbance import FLOOD, ask_all, flood, question, repeatedly
from edges import Edge, client_headers, envoy, envoy_path, nginx, nginx_path
from load import Load
from report import Report, spread
from running import floor, on_cores, service, start_seconds
from world import Setup, World, check_request, nginx_headers

from extauthz.demo.issuer import Issuer

TOKENS: Final = 100_000
_APART: Final = ", apart"
_SAME: Final = "Envoy, native, always-allow with our answer"
_DOORS: Final = (("Envoy", "grpc"), ("Envoy", "native"), ("Envoy", "http"), ("nginx", "http"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: what is measured and how long.

    ``own`` are the cores of what is measured, where it has some for itself.
    """

    world: World
    report: Report
    seconds: float
    rounds: int
    own: set[int]

    def compare(
        self, floor_load: Callable[[], Load], *ours: Callable[[], Load], times: int = 1
    ) -> list[Loads]:
        """Load the floor and the others in turn; the floor comes first in the result.

        ``times`` as many rounds as usual are for what differs much from round to round.
        """
        measures = (floor_load, *ours)
        found: list[list[Load]] = [[] for _ in measures]
        for _ in range(self.rounds * times):
            for measure, loads in zip(measures, found, strict=True):
                loads.append(measure())
        return [Loads(loads, found[0]) for loads in found]

    def alone(self) -> AbstractContextManager[None]:
        """What is started in the block is measured on cores of its own."""
        return on_cores(self.own)

    def tell(self, name: str, loads: Loads, *, plot: bool = False) -> None:
        """Report the median of several loads."""
        middle = load.median(loads.loads)
        wrong = f"  {middle.refused} REFUSED OR FAILED" if middle.refused else ""
        self.report.figure(name, f"{middle}{wrong}")
        if plot:
            self.report.rate(name, middle.rate)


@dataclass(frozen=True, slots=True)
class Loads:
    """Loads of one program, and those of the floor in the same rounds."""

    loads: list[Load]
    floor: list[Load]

    def ratios(self) -> list[float]:
        """Rate by rate of the floor, round by round."""
        pairs = zip(self.loads, self.floor, strict=True)
        return [mine.rate / least.rate for mine, least in pairs]

    def ratio(self) -> float:
        """The median of the ratios."""
        return sorted(self.ratios())[len(self.loads) // 2]


def decision(run: Run) -> None:
    """The decision alone."""
    world, report = run.world, run.report
    found = [
        decisions.cached(
            world, (Setup(), 1), (Setup(), 1000), (Setup(servers=1000, issuers=100), 1000)
        )
        for _ in range(run.rounds)
    ]
    one, callers, many = map(min, zip(*found, strict=True))
    report.figure("cached token", f"{one:.2f} µs")
    report.ratio("decision, cached token, µs", one, "<= 8")
    report.figure("1,000 cached tokens in turn, one server", f"{callers:.2f} µs")
    report.figure("the same, 1,000 servers, 100 issuers", f"{many:.2f} µs")
    for name, at in (
        ("1,000 servers and 100 issuers / one of each", 0),
        ("the same with 1,000 tokens in turn at both", 1),
    ):
        report.ratio(name, median([each[2] / each[at] for each in found]), "<= 1.1")
    for size in (1024, 6144):
        found = [decisions.first_seen(world, size) for _ in range(run.rounds)]
        seen, raw, bare = (min(each) for each in zip(*found, strict=True))
        report.figure(f"first-seen RS256, {size} bytes", f"{seen:.1f} µs, raw verify {raw:.1f} µs")
        report.figure("base64, JSON and verify, nothing checked", f"{bare:.1f} µs")
        if size == 1024:
            ratios, least = ([one[at] / one[1] for one in found] for at in (0, 2))
            report.figure("the same / raw verify", spread(least))
            report.ratio("first-seen RS256 1 KB / raw verify", median(ratios), "<= 1.8")


def grpc(run: Run) -> None:
    """Check over gRPC, against an empty handler."""
    world, seconds = run.world, run.seconds
    message = check_request(world.token())
    with ExitStack() as stack:
        with run.alone():
            empty = stack.enter_context(floor("grpc-empty", world.folder))
            ours = stack.enter_context(service(world, Setup()))
            native = stack.enter_context(service(world, Setup(transport="native")))
            logging = Setup(transport="native", allow_sample=1.0)
            logged = stack.enter_context(service(world, logging))
            usual_tls = stack.enter_context(service(world, Setup(tls=True)))
            native_tls = stack.enter_context(service(world, Setup(transport="native", tls=True)))
        run.report.figure("size of the CheckRequest", f"{len(message)} bytes")
        least, mine, fast, told, mine_tls, fast_tls = run.compare(
            lambda: load.grpc(empty, message, seconds=seconds),
            lambda: load.grpc(ours.ports["grpc"], message, seconds=seconds),
            lambda: load.grpc(native.ports["grpc"], message, seconds=seconds),
            lambda: load.grpc(logged.ports["grpc"], message, seconds=seconds),
            lambda: load.grpc(usual_tls.ports["grpc"], message, seconds=seconds, tls=True),
            lambda: load.grpc(native_tls.ports["grpc"], message, seconds=seconds, tls=True),
            times=2,
        )
    run.tell("grpc.aio, empty handler", least, plot=True)
    run.tell("extauthz, grpcio, cached token", mine, plot=True)
    run.tell("extauthz, native, cached token", fast, plot=True)
    run.tell("extauthz, native, each allow logged", told)
    run.tell("extauthz, grpcio over TLS, cached token", mine_tls)
    run.tell("extauthz, native over TLS, cached token", fast_tls, plot=True)
    run.report.figure("grpcio / empty, round by round", spread(mine.ratios()))
    run.report.ratio("gRPC cached, grpcio / empty grpc.aio handler", mine.ratio(), ">= 0.9")
    run.report.ratio("gRPC cached, native / empty grpc.aio handler", fast.ratio(), ">= 4")


def http(run: Run) -> None:
    """/auth/nginx, against a constant answer of the same server."""
    world, seconds = run.world, run.seconds
    headers = nginx_headers(world.token())
    with ExitStack() as stack:
        with run.alone():
            constant = stack.enter_context(floor("http-constant", world.folder))
            asgi = stack.enter_context(floor("asgi-constant", world.folder))
            ours = stack.enter_context(service(world, Setup()))
            logged = stack.enter_context(service(world, Setup(allow_sample=1.0)))
        ports = (constant, asgi, ours.ports["http"], logged.ports["http"])
        least, usual, mine, told = run.compare(
            *[
                (lambda port=port: load.http(port, "/auth/nginx", headers, seconds=seconds))
                for port in ports
            ]
        )
    run.tell("the HTTP server, constant answer", least, plot=True)
    run.tell("uvicorn, constant ASGI answer", usual, plot=True)
    run.tell("extauthz, /auth/nginx, cached token", mine, plot=True)
    run.tell("extauthz, /auth/nginx, each allow logged", told)
    by_usual = Loads(mine.loads, usual.loads).ratio()
    run.report.ratio("HTTP /auth/nginx cached / constant ASGI answer, uvicorn", by_usual, ">= 0.75")
    run.report.figure("/auth/nginx / constant, round by round", spread(mine.ratios()))
    run.report.ratio(
        "HTTP /auth/nginx cached / constant answer, our own server", mine.ratio(), ">= 0.75"
    )


def cold(run: Run) -> None:
    """Every token judged as if never seen, over gRPC."""
    world, seconds = run.world, run.seconds
    with ExitStack() as stack:
        with run.alone():
            setup = Setup(cache_entries=0, transport="native")
            ours = stack.enter_context(service(world, setup))
        for size in (1024, 6144):
            message = check_request(world.token(size))
            found = [
                load.grpc(ours.ports["grpc"], message, seconds=seconds) for _ in range(run.rounds)
            ]
            run.tell(f"extauthz, native, first-seen, {size} bytes", Loads(found, found), plot=True)


def many(run: Run) -> None:
    """Many servers and issuers, over gRPC."""
    world, seconds = run.world, run.seconds
    message = check_request(world.token())
    with ExitStack() as stack:
        ports = []
        for servers, issuers in ((1, 1), (100, 1), (1000, 100)):
            setup = Setup(servers=servers, issuers=issuers, transport="native")
            with run.alone():
                ports.append(stack.enter_context(service(world, setup)).ports["grpc"])
        one, hundred, thousand = run.compare(
            *(lambda port=port: load.grpc(port, message, seconds=seconds) for port in ports)
        )
    run.tell("one server, one issuer", one)
    run.tell("100 servers, one issuer", hundred)
    run.tell("1,000 servers, 100 issuers", thousand)
    run.report.ratio("rate with one / with 1,000 servers", 1 / thousand.ratio(), "<= 1.1")


def memory(run: Run) -> None:
    """100,000 distinct tokens: what they cost in time and memory."""
    world = run.world
    with ExitStack() as stack:
        with run.alone():
            ours = stack.enter_context(service(world, Setup()))
        idle = ours.memory()
        run.report.ratio("resident memory idle, MB", idle, "<= 80")
        claims = world.claims(1024)
        questions = [
            question(world.sign({**claims, "sub": f"user-{n}", "jti": f"j-{n}"}, world.light_key))
            for n in range(TOKENS)
        ]
        allowed, seconds = ask_all(ours.ports["http"], questions)
        full = ours.memory()
        again, seconds_again = ask_all(ours.ports["http"], questions)
    if allowed != TOKENS or again != TOKENS:
        raise RuntimeError(f"{allowed} and {again} of {TOKENS} were allowed")
    run.report.figure("100,000 first-seen EdDSA tokens", f"{TOKENS / seconds:.0f}/s")
    run.report.figure("the same again, from the cache", f"{TOKENS / seconds_again:.0f}/s")
    run.report.ratio("memory for 100,000 cached tokens, MB over idle", full - idle, "<= 80")


def start(run: Run) -> None:
    """From the start of the process until it is ready."""
    start_seconds(run.world)  # makes the bytecode
    with run.alone():
        taken = [start_seconds(run.world) for _ in range(2 * run.rounds + 1)]
    by_clock, of_processor = (sorted(each) for each in zip(*taken, strict=True))
    run.report.figure("start to ready, seconds by the clock", spread(by_clock))
    run.report.figure("start to ready, seconds of the processor", spread(of_processor))
    run.report.ratio("start to ready, median, seconds", by_clock[run.rounds], "<= 0.6")


def disturbed(run: Run) -> None:
    """Latency at a steady 500 checks a second while something goes on."""
    world = run.world
    # Its keys are made here, on the same cores: those of ES256 cost next to nothing.
    with Issuer(algorithms=("ES256",)) as issuer:
        setup = Setup(issuer_url=issuer.url, transport="native")
        with ExitStack() as stack:
            with run.alone():
                ours = stack.enter_context(service(world, setup))
            token = issuer.mint(
                alg="ES256", aud=world.resource(), scope="mcp.read", client_id="inspector"
            )
            message = check_request(token)

            def latency() -> Load:
                port = ours.ports["grpc"]
                return load.grpc(port, message, seconds=2 * run.seconds, per_second=500)

            calm, rotating, flooded, down = [], [], [], []
            asked = 0
            for _ in range(run.rounds):
                calm.append(latency())
                with repeatedly(issuer.rotate, 0.5):
                    rotating.append(latency())
                issuer.keys.insert(0, issuer.previous_keys[0])
                with (
                    flood(ours.ports["http"], issuer, world.resource()) as ask,
                    repeatedly(ask, 0) as done,
                ):
                    flooded.append(latency())
                asked += FLOOD * done.times
                issuer.stop()
                down.append(latency())
                issuer.start()
    names = ("calm", "during rotations", "under a flood of random kids", "during an outage")
    base = load.median(calm)
    run.report.figure("questions of the flood", f"{asked / (2 * run.seconds * run.rounds):.0f}/s")
    for name, found in zip(names, (calm, rotating, flooded, down), strict=True):
        run.tell(name, Loads(found, calm))
        if found is not calm:
            run.report.ratio(f"p99 {name} / calm", load.median(found).p99 / base.p99, "<= 1.5")


def through(run: Run) -> None:
    """Through real Envoy and real nginx, one worker each, on the cores that all share."""
    world = run.world
    with ExitStack() as stack:
        enter = stack.enter_context
        plain: dict[str, Edge] = {}
        if envoy_path():
            for kind, name in (("none", "no auth"), ("jwt", "jwt_authn")):
                plain[f"Envoy, {name}"] = enter(envoy(world, kind))
            plain["Envoy, jwt_authn with cache"] = enter(envoy(world, "jwt-cached"))
        if nginx_path():
            plain["nginx, no auth"] = enter(nginx(world, None))
        pairs = _asked(run, stack, nullcontext)
        found = _loads(run, plain | pairs)
    for name, loads in found.items():
        run.tell(name, loads, plot=True)
    _against_always_allow(run, found, "")


def apart(run: Run) -> None:
    """Through the same proxies, with a core for who is asked, as on a machine of its own."""
    with ExitStack() as stack:
        found = _loads(run, _asked(run, stack, run.alone))
    for name, loads in found.items():
        run.tell(f"{name}{_APART}", loads)
    _against_always_allow(run, found, _APART)


def _asked(
    run: Run, stack: ExitStack, place: Callable[[], AbstractContextManager[None]]
) -> dict[str, Edge]:
    """A proxy before each door, and one before an always-allow on the same transport.

    ``place`` says where those run who are asked.
    """
    world, enter = run.world, stack.enter_context
    reply = world.folder / "reply"
    reply.write_bytes(decisions.reply_to(world))
    with place():
        same = enter(floor("native-same", world.folder, reply))
        usual = enter(service(world, Setup()))
        native = enter(service(world, Setup(transport="native")))
        always = {
            transport: enter(floor(f"{transport}-allow", world.folder))
            for transport in ("grpc", "native", "http")
        }
    ours = {
        "grpc": usual.ports["grpc"],
        "native": native.ports["grpc"],
        "http": usual.ports["http"],
    }
    edges: dict[str, Edge] = {}
    for proxy, transport in _DOORS:
        door = _door(proxy, transport)
        for name, ports in ((f"{door}, always-allow", always), (f"extauthz, {door}", ours)):
            if proxy == "nginx" and nginx_path():
                edges[name] = enter(nginx(world, ports[transport]))
            elif proxy == "Envoy" and envoy_path():
                kind = "http" if transport == "http" else "grpc"
                edges[name] = enter(envoy(world, kind, ports[transport]))
    if envoy_path():
        edges[_SAME] = enter(envoy(world, "grpc", same))
    return edges


def _door(proxy: str, transport: str) -> str:
    return proxy if proxy == "nginx" else f"{proxy}, {transport}"


def _loads(run: Run, edges: dict[str, Edge]) -> dict[str, Loads]:
    headers = client_headers(run.world.token())
    measures = [
        (lambda edge=edge: load.http(edge.port, "/s0/mcp", headers, seconds=run.seconds))
        for edge in edges.values()
    ]
    return dict(zip(edges, run.compare(*measures), strict=True)) if edges else {}


def _against_always_allow(run: Run, found: dict[str, Loads], where: str) -> None:
    for door in dict.fromkeys(_door(*each) for each in _DOORS):
        if f"extauthz, {door}" in found:
            ours, least = found[f"extauthz, {door}"], found[f"{door}, always-allow"]
            ratio = Loads(ours.loads, least.loads).ratio()
            run.report.ratio(f"extauthz, {door}{where} / always-allow", ratio, ">= 0.95")
    if _SAME in found:
        ours, same = found["extauthz, Envoy, native"], found[_SAME]
        ratios = Loads(ours.loads, same.loads).ratios()
        run.report.figure(f"extauthz, Envoy, native{where} / the same answer", spread(ratios))


ALL: Final[dict[str, Callable[[Run], None]]] = {
    "decision": decision,
    "grpc": grpc,
    "http": http,
    "cold": cold,
    "many": many,
    "memory": memory,
    "start": start,
    "disturbed": disturbed,
    "through": through,
    "apart": apart,
}
QUICK: Final = ["decision", "grpc", "http"]
UNDER_LOAD: Final = frozenset(ALL) - {"decision", "memory", "start"}
SHARED: Final = frozenset({"through"})
"""Where all programs share all cores, as the kernel distributes them."""
