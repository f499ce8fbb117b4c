"""Doctor compares its file with what the running service goes by, and gives no false alarm."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import extauthz
from extauthz.cli import main
from extauthz.config.addresses import Address, TcpAddress, UnixAddress
from extauthz.config.compile import compile_policy
from extauthz.doctor import running
from extauthz.doctor.catalogue import Code
from extauthz.doctor.edge import Edge
from extauthz.doctor.examine import examine
from extauthz.doctor.expectations import Expectations
from extauthz.doctor.findings import Report, Step
from extauthz.doctor.running import TITLE, GivenFile
from extauthz.doctor.telling import document, table
from extauthz.service.meaning import meaning_of
from extauthz.service.sources import issuer_sources
from tests.doctor.clinic import Clinic
from tests.doctor.odd_edges import edge, refused, say
from tests.doctor.provoked import provokes
from tests.generate.inventories import loaded
from tests.tokens import NOW

DIGEST, MEANING = "0123456789ab", "ba9876543210"
TOKEN = "secret.token.canary"


@dataclass
class Pretender:
    """Edge and extauthz in one: it refuses, and its status says what a test wants."""

    config: dict[str, Any] = field(default_factory=dict)
    version: str = extauthz.__version__
    counts: bool = True
    late: int = 0
    other: float = 40
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None
    refusals: int = 0
    looks: int = 0
    credentials: set[str | None] = field(default_factory=set)

    def __call__(self, to: BaseHTTPRequestHandler) -> None:
        if to.path != "/status":
            self.refusals += 1
            refused(to)
            return
        self.looks += 1
        self.credentials.add(to.headers.get("authorization"))
        if self.answer is not None:
            self.answer(to)
            return
        told = self.refusals if self.counts and self.looks > self.late else 0
        say(to, 200, json.dumps(self.status(told)).encode(), Content_Type="application/json")

    def status(self, told: int) -> dict[str, Any]:
        config = {"source": "/etc/other.yaml", "digest": DIGEST, "meaning": MEANING, "problems": []}
        row = {"decision": "deny", "reason": "missing_token", "since_start": told}
        return {
            "version": self.version,
            "health": {"config": {**config, **self.config}},
            "servers": [{"outcomes": [row]}, {"outcomes": []}],
            "elsewhere": [{**row, "since_start": self.other}],
        }


def given(admin: Address | None, **changes: Any) -> GivenFile:
    usual = {"source": "mine.yaml", "digest": DIGEST, "meaning": MEANING, "admin": admin}
    return GivenFile(**{**usual, **changes})


def examined(pretender: Pretender, **changes: Any) -> Report:
    with edge(pretender) as (port, _):
        timeout = changes.pop("timeout", 5.0)
        where = Edge(url=f"http://127.0.0.1:{port}/mcp", timeout=timeout)
        file = given(TcpAddress("127.0.0.1", port), **changes)
        return examine(where, Expectations(), now=NOW, token=TOKEN, parts=["walk"], given=file)


def compared(report: Report) -> Step:
    (step,) = (step for step in report.steps if step.title == TITLE)
    return step


def test_the_very_file_is_no_finding() -> None:
    assert compared(examined(Pretender())).result == "ok"


def test_the_same_written_otherwise_is_no_finding() -> None:
    assert compared(examined(Pretender(), digest="another")).result == "ok"


def test_the_very_file_is_no_finding_whatever_another_version_makes_of_it() -> None:
    pretender = Pretender(version="9.9.9", config={"meaning": "another"})
    assert compared(examined(pretender)).result == "ok"


OTHER: dict[str, Any] = {"digest": "f00d", "meaning": "another"}


def test_another_configuration_is_a_problem_that_is_told_first() -> None:
    report = examined(Pretender(), **OTHER)
    step = compared(report)
    assert [finding.code for finding in step.findings] == [Code.OTHER_CONFIGURATION]
    assert step.findings[0].seen == [
        f"it goes by /etc/other.yaml ({DIGEST}), and mine.yaml is f00d"
    ]
    assert report.steps[0] is step
    assert report.findings[0] is step.findings[0]
    assert not report.healthy
    assert table(report).index("other_configuration") < table(report).index("no_metadata_link")


def test_a_changed_file_that_was_not_taken_is_told() -> None:
    problem = "extauthz.yaml:3:1: servers: unknown key"
    report = examined(Pretender(config={"problems": [problem, "more"]}), **OTHER)
    assert f"a changed file was not taken: {problem}" in report.findings[0].seen[0]


@pytest.mark.parametrize(
    ("pretender", "told"),
    [
        (Pretender(version="9.9.9"), "what that means to its version (9.9.9)"),
        (Pretender(config={"meaning": ""}), f"to its version ({extauthz.__version__})"),
        (Pretender(counts=False), "no request of doctor's came to the extauthz at listen.admin"),
        (Pretender(answer=lambda to: say(to, 200, b"<html>")), "is no status of extauthz"),
        (Pretender(answer=lambda to: say(to, 404, b"{}")), "is no status of extauthz"),
        (Pretender(answer=lambda to: say(to, 200, b"[" * 9999)), "is no status of extauthz"),
        (Pretender(answer=lambda to: say(to, 200, b"[1]")), "is no status of extauthz"),
        (Pretender(config={"digest": 5}), "is no status of extauthz"),
        (Pretender(config={"problems": {"a": 1}}), "is no status of extauthz"),
        (Pretender(counts=False, other=float("inf")), "is no status of extauthz"),
        (Pretender(answer=lambda to: None), "is no status of extauthz"),
        (Pretender(answer=lambda to: say(to, 200, b"", Odd="\r\n" * 200)), "is no status"),
    ],
)
def test_where_it_cannot_be_told_it_is_said_and_no_finding(pretender: Pretender, told: str) -> None:
    step = compared(examined(pretender, **OTHER))
    assert (step.result, step.findings) == ("skipped", [])
    assert told in step.skipped


# A socket that could not connect is closed by the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("admin", "told"),
    [
        (None, "listen.admin is off"),
        (
            TcpAddress("127.0.0.1", 1),
            "here at listen.admin (127.0.0.1:1): [Errno 111] Connection refused",
        ),
        (
            UnixAddress("/nowhere/at/all"),
            "(unix:/nowhere/at/all): [Errno 2] No such file or directory",
        ),
        (TcpAddress("999.1.1.1", 1), "(999.1.1.1:1): Invalid IPv4 address"),
        (TcpAddress("xn--a", 1), "(xn--a:1): Codepoint U+0080"),
    ],
)
def test_an_admin_listener_that_is_not_there_is_no_fault(admin: Address | None, told: str) -> None:
    with edge(refused) as (port, _):
        where = Edge(url=f"http://127.0.0.1:{port}/mcp")
        file = given(admin, **OTHER)
        report = examine(where, Expectations(), now=NOW, parts=["walk"], given=file)
    assert told in compared(report).skipped


def test_one_that_dribbles_holds_nobody_up() -> None:
    def dribble(to: BaseHTTPRequestHandler) -> None:
        to.send_response_only(200)
        to.end_headers()
        for _ in range(200):
            to.wfile.write(b" ")
            time.sleep(0.05)

    started = time.monotonic()
    step = compared(examined(Pretender(answer=dribble), timeout=0.3))
    assert "nobody answers here" in step.skipped
    assert time.monotonic() - started < 5


def test_counters_that_come_late_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine five looks may take longer than is usually waited.
    monkeypatch.setattr(running, "_SETTLING_SECONDS", 30.0)
    pretender = Pretender(late=4)
    assert compared(examined(pretender)).result == "ok"
    assert pretender.looks == 5


def test_without_a_file_nothing_is_asked() -> None:
    pretender = Pretender()
    with edge(pretender) as (port, _):
        where = Edge(url=f"http://127.0.0.1:{port}/mcp")
        report = examine(where, Expectations(), now=NOW, parts=["walk"])
    assert TITLE not in {step.title for step in report.steps}
    assert pretender.looks == 0


def test_the_admin_listener_gets_no_token() -> None:
    pretender = Pretender()
    examined(pretender)
    assert pretender.credentials == {None}


def test_what_a_status_says_is_cut_short_and_printable() -> None:
    hostile = Pretender(config={"source": "\x1b[31m" + "x" * 5000})
    report = examined(hostile, **OTHER)
    assert "\x1b" not in table(report) + document(report)
    assert "x" * 201 not in table(report) + document(report)


def test_nobody_at_the_address_is_told_with_what_runs() -> None:
    pretender = Pretender()
    with edge(pretender) as (port, _):
        file = given(TcpAddress("127.0.0.1", port), **OTHER)
        where = Edge(url="http://127.0.0.1:1/mcp")
        report = examine(where, Expectations(), now=NOW, parts=["walk"], given=file)
    assert [finding.code for finding in report.findings] == [Code.UNREACHABLE]
    assert "no request of doctor's came" in compared(report).skipped


# ---- against the real thing


def of(clinic: Clinic, admin: int, **changes: Any) -> GivenFile:
    file = loaded({"version": 1, **clinic.config(**changes)})
    meaning = meaning_of(compile_policy(file), issuer_sources(file))
    address = TcpAddress("0.0.0.0", admin)  # noqa: S104  as containers are told to listen
    return given(address, digest=file.short_digest, meaning=meaning)


@pytest.mark.e2e
def test_a_service_that_goes_by_the_file_is_well(open_clinic: Clinic) -> None:
    file = of(open_clinic, open_clinic.service.admin)
    with open_clinic.edge("nginx"):
        report = open_clinic.examine("notes", token=None, parts=["walk"], given=file)
    assert not report.findings, table(report)
    assert compared(report).result == "ok"


@pytest.mark.e2e
@provokes(Code.OTHER_CONFIGURATION)
def test_the_file_is_newer_than_the_service(open_clinic: Clinic) -> Report:
    file = of(open_clinic, open_clinic.service.admin, notes={"scopes": ["notes", "more"]})
    with open_clinic.edge("nginx"):
        return open_clinic.examine("notes", token=None, parts=["walk"], given=file)


@pytest.mark.e2e
def test_a_service_that_is_not_behind_the_edge_is_no_finding(open_clinic: Clinic) -> None:
    """As on a laptop where another one runs at the usual port."""
    file = of(open_clinic, open_clinic.spare.service.admin)
    with open_clinic.edge("nginx"):
        report = open_clinic.examine("notes", token=None, parts=["walk"], given=file)
    assert not report.findings, table(report)
    assert "no request of doctor's came" in compared(report).skipped


def test_an_admin_listener_on_a_unix_socket(tmp_path: Path) -> None:
    pretender, path = Pretender(), str(tmp_path / "admin")
    with edge(pretender) as (port, _), edge(pretender, path):
        where = Edge(url=f"http://127.0.0.1:{port}/mcp")
        file = given(UnixAddress(path), **OTHER)
        report = examine(where, Expectations(), now=NOW, parts=["walk"], given=file)
    assert [finding.code for finding in compared(report).findings] == [Code.OTHER_CONFIGURATION]


@contextmanager
def spare_file(clinic: Clinic, folder: Path) -> Iterator[Path]:
    """The file of the spare service, copied, with the edge before that service."""
    service = clinic.another(clinic.config())
    copy = folder / "copy.yaml"
    copy.write_bytes((service.log.parent / "extauthz.yaml").read_bytes())
    with clinic.edge("nginx", service=service):
        yield copy


@pytest.mark.e2e
@pytest.mark.parametrize("word", ["", "# a word of mine\n"])
def test_the_command_compares_its_file(
    open_clinic: Clinic,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    word: str,
) -> None:
    monkeypatch.setenv("EXTAUTHZ_LOG_LEVEL", "debug")
    with spare_file(open_clinic, tmp_path) as copy:
        copy.write_text(word + copy.read_text())
        command = ["doctor", "--url", open_clinic.url("notes"), "--config", str(copy)]
        assert main([*command, "--only", "walk"]) == 0
        assert f"ok       {TITLE}" in capsys.readouterr().out
        copy.write_text(copy.read_text().replace('"scopes": ["notes"]', '"scopes": ["more"]'))
        assert main([*command, "--only", "walk"]) == 1
        told = capsys.readouterr().out
    assert f"PROBLEM  {TITLE}" in told
    assert "PROBLEM  other_configuration" in told
