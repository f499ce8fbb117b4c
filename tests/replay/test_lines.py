"""Lines read back: ours, others', and what is none; in files of every kind."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.core.model import Call, Reason
from extauthz.replay.reading import MAX_LINE, CannotRead, lines_of
from extauthz.replay.record import Unreadable, read_record
from tests.policies import asking, policy_with
from tests.replay.logs import log_of, record_of
from tests.tokens import NOTES, mint

GOOD: dict[str, Any] = {"event": "decision", "decision": "allow"}


def line(**members: Any) -> bytes:
    return json.dumps(GOOD | members).encode()


def test_a_line_is_read_back_as_it_was_written() -> None:
    policy = policy_with("notes", tools={"x": {"claims": {"groups": "a", "/b/c": True}}})
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}})
    token = mint({"groups": ["a", 1, True, None, {"x": "y"}], "b": {"c": {"d": 1}}})
    headers = {"origin": "https://mcp.example.com"}
    request = asking(token, body=body.encode(), headers=headers, server="notes")
    record = record_of(log_of(policy, [request], allow_sample=0.5)[0])
    assert (record.outcome, record.reason) == ("deny", Reason.DENIED_BY_RULE)
    assert (record.server, record.named) == ("notes", "notes")
    assert (record.call, record.call_source) == (Call("tools/call", "x"), "body")
    assert (record.http_method, record.host, record.path) == (
        "POST", "mcp.example.com", "/notes/mcp",
    )  # fmt: skip
    assert record.origin == "https://mcp.example.com"
    assert record.config == policy.digest[:12]
    person = record.person
    assert person is not None
    assert (person.subject, person.client_id) == ("alice", "inspector")
    assert (person.scopes, person.audiences) == (("notes",), (NOTES,))
    claims = dict(person.claims)
    assert claims["groups",] == ("a", 1, True, None, None)
    assert claims["b", "c"] == ()
    assert claims["tid",] is None


@pytest.mark.parametrize(
    "before", [b"extauthz-1  | ", b"Nov 28 22:00:01 edge extauthz[7]: ", b"[pod/x/extauthz] ", b" "]
)
def test_what_others_write_before_a_line_is_passed_over(before: bytes) -> None:
    policy = policy_with("notes")
    whole = log_of(policy, [asking(mint())])[0]
    assert read_record(before + whole) == read_record(whole)
    assert read_record(before + b'{"ts":"x","level":"info","msg":"serving"}') is None


@pytest.mark.parametrize("lacking", ["ts", "level", "msg"])
def test_what_stands_within_another_line_is_no_line_of_ours(lacking: str) -> None:
    members = {"ts": "x", "level": "info", "msg": "allow", **GOOD}
    del members[lacking]
    with pytest.raises(Unreadable):
        read_record(b"2026-11-28 INFO claims=" + json.dumps(members).encode())


def test_lines_of_other_events_are_none_of_a_replays_business() -> None:
    assert read_record(b'{"event":"log_dropped","lines":3}') is None
    assert read_record(b'{"msg":"serving"}') is None


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"x", b"{", b"[]", b"null", b'"decision"', b"\xff\xfe", b'{"event":"decision"}',
        b'2027-01-15T08:00:00.000Z INFO    allow event=decision',
        b'{"event":"decision","canary":"a","canary":"b","decision":"allow"}',
        line(decision="canary"), line(decision=1), line(reason="canary"), line(reason=[]),
        line(server=1), line(issuer="i", scopes="canary"), line(issuer="i", scopes=[1]),
        line(issuer="i", claims=[]), line(issuer="i", claims={"": "canary"}),
        line(issuer="i", claims={"/canary~2": 1}), line(call_source="canary"), line(sample="0.5"),
        line(sample=2), line(sample=True), line(tool="canary", prompt="b", method="tools/call"),
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_line_of_ours_is_refused_and_not_repeated(bad: bytes) -> None:
    with pytest.raises(Unreadable) as problem:
        read_record(bad)
    assert "canary" not in str(problem.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
FIELDS = [
    "decision", "reason", "server", "issuer", "scopes", "audience", "claims", "claims_cut", "path",
    "host", "method", "tool", "call_source", "config", "sample", "cut", "origin", "purpose",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
def test_whatever_a_line_holds_it_is_a_record_or_unreadable(members: dict[str, Any]) -> None:
    try:
        record = read_record(line(**members))
    except Unreadable:
        return
    assert record is not None
    hash(record)


def test_lines_come_from_files_packed_or_not_and_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"one\ntwo\nlast"
    plain, packed = tmp_path / "log", tmp_path / "log.gz"
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    for path in (str(plain), str(packed), "-"):
        assert [*lines_of(path)] == [b"one\n", b"two\n", b"last"]


@pytest.mark.parametrize(
    ("length", "read"), [(MAX_LINE - 1, True), (MAX_LINE, False), (MAX_LINE * 3 + 5, False)]
)
def test_a_line_that_is_too_long_is_passed_over_and_the_next_one_is_read(
    tmp_path: Path, length: int, read: bool
) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * length + b"\nnext\n")
    first, second = lines_of(str(file))
    assert (first is not None) is read
    assert second == b"next\n"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    no_gzip = tmp_path / "log.gz"
    no_gzip.write_bytes(b"plain")
    for path in (str(tmp_path / "nothing"), str(tmp_path), str(no_gzip)):
        with pytest.raises(CannotRead, match="cannot be read"):
            [*lines_of(path)]
