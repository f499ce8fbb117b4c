"""The lines of requests that come again: ready for the most part, and the same as any other's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from extauthz.core.model import Allow, Precedent, Recurrence
from extauthz.telemetry import recurring_lines
from extauthz.telemetry.decision_log import DecisionLog, LineStyle, Occasion
from extauthz.telemetry.formats import FORMATS, MAX_LINE, Fields
from extauthz.telemetry.log_pipe import Line, LogPipe, ReadyLine
from extauthz.telemetry.recurring_lines import RecurringLines
from tests.policies import asking, engine_for_tests, key_sets
from tests.tokens import NOW, mint

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
ID = "5a1c7a8e-0000-4000-8000-000000000000"


class Scene:
    """One request that comes again and again; what is put into the pipe waits to be looked at."""

    def __init__(
        self, form: str = "json", subject: str = "alice", target: str = "/notes/mcp", **headers: str
    ) -> None:
        token = mint({"scope": "notes", "sub": subject})
        request = asking(token, target=target, headers=headers)
        decision = engine_for_tests().decide(request, key_sets(), now=NOW)
        assert isinstance(decision, Allow)
        self.allow, self.precedent = decision, Precedent(request)
        self.form, self.made = FORMATS[form], 0
        self.waiting: list[Line] = []
        self.log = DecisionLog(self, LineStyle(), random=lambda: 0.0)  # type: ignore[arg-type]
        self.lines = RecurringLines(self.log)

    def put(self, line: Line) -> None:
        self.waiting.append(line)

    def counting(self, fields: Fields) -> str:
        self.made += 1
        return self.form(fields)

    def comes(
        self, now: float = NOW, seconds: float = 0.0001234, told: str | None = None, **headers: str
    ) -> str:
        """What is written once it has come again."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        recurrence = Recurrence(self.precedent, named, None if told is None else lambda: told)
        occasion = Occasion(now, "allow", "grpc", seconds)
        self.lines.put(recurrence, self.allow, occasion)
        line = self.waiting.pop()
        self.log.put(recurrence.request(), self.allow, occasion)
        expected = self.form(self.waiting.pop().fields())
        is_ready = isinstance(line, ReadyLine)
        text = line.text(self.counting) if is_ready else self.form(line.fields())  # type: ignore[attr-defined]
        assert text == expected
        assert self.form(line.fields()) == expected
        return text


@pytest.fixture(params=sorted(FORMATS))
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


def test_when_how_long_and_both_names_are_those_of_each_request(scene: Scene):
    scene.comes(x_request_id="1", traceparent=TRACEPARENT)
    scene.comes(x_request_id="2", traceparent=TRACEPARENT)
    text = scene.comes(NOW + 1.5, 0.25, x_request_id=ID, traceparent=TRACEPARENT)
    for told in ("2027-01-15T08:00:01.500Z", ID, TRACE, "250.0"):
        assert text.count(told) == 1


def test_the_text_is_made_once(scene: Scene):
    for number in range(5):
        scene.comes(NOW + number, number / 1000, x_request_id=f"{ID}-{number}")
    assert scene.made == 1


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.0000005, 0.0000004, 1 / 3, 12345.6789])
def test_every_length_of_time_is_written_as_ever(scene: Scene, seconds: float):
    for _ in range(3):
        scene.comes(seconds=seconds)


def test_names_may_come_and_be_left_out(scene: Scene):
    turns: list[dict[str, Any]] = [{}, {"x_request_id": ID}, {"traceparent": TRACEPARENT}]
    for headers in turns:
        for _ in range(3):
            text = scene.comes(**headers)
            assert (ID in text) is ("x_request_id" in headers)
            assert (TRACE in text) is ("traceparent" in headers)
    assert scene.made == 3


def test_the_trace_of_the_question_comes_before_that_of_the_client(scene: Scene):
    for _ in range(3):
        text = scene.comes(told=TRACEPARENT, traceparent=TRACEPARENT.replace("0a", "bb"))
        assert TRACE in text


def test_the_names_of_the_first_request_are_those_of_requests_that_say_no_other():
    scene = Scene(**{"x-request-id": ID, "traceparent": TRACEPARENT})
    for _ in range(3):
        text = scene.comes()
        assert ID in text
        assert TRACE in text
    assert ID not in scene.comes(x_request_id="")


@pytest.mark.parametrize(
    "name", ["a=b", "eyJhbGciOiJub25lIn0.e30.x", "a b", "%s", "%", "", "x" * 129, '"', "é", "\n"]
)
def test_a_name_that_is_not_plain_is_written_as_ever(scene: Scene, name: str):
    for _ in range(3):
        scene.comes(x_request_id=name)
        scene.comes(x_request_id=ID)


@pytest.mark.parametrize("mark", ["@ts@", "@request_id@", "@trace_id@", "9007199254740991", "%s"])
def test_what_looks_like_a_gap_is_no_gap(scene: Scene, mark: str):
    request = replace(scene.precedent.request, target=f"/notes/mcp/{mark}")
    scene.precedent = Precedent(request)
    for _ in range(3):
        text = scene.comes(x_request_id=ID, traceparent=TRACEPARENT)
        assert mark in text
    # Once to find that it cannot be, and then as any line.
    assert scene.made == (1 if mark == "%s" else 3)


def test_a_name_that_looks_like_a_gap_is_no_gap(scene: Scene):
    for mark in ("@ts@", "@request_id@", "@trace_id@", "9007199254740991", "%s"):
        scene.comes(x_request_id=mark)
        scene.comes(x_request_id=mark, traceparent=TRACEPARENT)


def test_a_new_style_makes_new_lines(scene: Scene):
    assert "alice" in scene.comes()
    assert "alice" in scene.comes()
    scene.log.style = LineStyle(subject="off")
    for _ in range(3):
        assert "alice" not in scene.comes()


@pytest.mark.parametrize("more", [0, 1])
def test_a_long_line_is_made_anew_each_time(more: int, monkeypatch: pytest.MonkeyPatch):
    scene = Scene()
    fields = json.loads(scene.comes(x_request_id=ID))
    marks = {"ts": "@ts@", "request_id": "@request_id@", "duration_ms": 9007199254740991}
    length = len(json.dumps(fields | marks, separators=(",", ":")))
    monkeypatch.setattr(recurring_lines, "_ROOM", MAX_LINE - length + more)
    for _ in range(3):
        scene.comes(x_request_id=ID)
    assert scene.made == (1 + 3 if more else 1)


def test_no_line_outgrows_the_room_that_is_left_for_what_differs():
    scene = Scene(**{"x-request-id": "x" * 128})
    request = scene.precedent.request
    claims: Any = {"host": "h" * 255, "target": "/notes/mcp/" + "é" * 501}
    scene.precedent = Precedent(replace(request, **claims))
    for _ in range(3):
        text = scene.comes(1e11, 1e6, x_request_id="y" * 128, traceparent=TRACEPARENT)
        assert len(text) <= MAX_LINE


@pytest.mark.parametrize("name", ["1", "x" * 128])
@pytest.mark.parametrize("target", ["/notes/mcp", "/notes/mcp/eyJ" + "a" * 480 + ".e30.x"])
@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_line_about_as_long_as_one_may_be_is_cut_or_not_as_any_other(
    form: str, target: str, name: str
):
    """One that is cut is no text for others, nor one out of which something was taken."""
    least = len(Scene(form, "", target).comes(x_request_id=name))
    lengths = set()
    for size in (*range(MAX_LINE - 700, MAX_LINE - 20, 20), *range(MAX_LINE - 20, MAX_LINE + 20)):
        scene = Scene(form, "a" * (size - least), target)
        for _ in range(3):
            lengths.add(len(scene.comes(x_request_id=name)))
    assert max(lengths) >= MAX_LINE - 500
    assert min(lengths) < MAX_LINE - 700


def test_no_name_of_the_first_request_is_kept():
    scene = Scene()
    for told in (None, f"secret-{TRACEPARENT}"):
        scene.comes(told=told, x_request_id="secret", traceparent="secret")
        assert "secret" not in repr(scene.precedent.line.line)  # type: ignore[attr-defined]


def test_lines_come_out_of_a_real_pipe():
    written: list[bytes] = []
    scene = Scene()
    scene.log.pipe = pipe = LogPipe(written.append, FORMATS["json"])
    for number in range(100):
        recurrence = Recurrence(scene.precedent, {"x-request-id": str(number)})
        scene.lines.put(recurrence, scene.allow, Occasion(NOW, "allow", "grpc", 0.0))
    assert pipe.close(10)
    lines = [json.loads(line) for line in b"".join(written).splitlines()]
    assert [line["request_id"] for line in lines] == [str(number) for number in range(100)]
    assert {line["subject"] for line in lines} == {"alice"}
