"""What a replay prints and how it ends: for people, for programs, for pipelines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from extauthz.cli import main
from extauthz.replay import tally
from tests.policies import asking, document, policy_for_tests
from tests.replay.logs import log_of
from tests.tokens import mint

Capture = pytest.CaptureFixture[str]

TIGHTER = [
    one | {"scopes": ["notes", "more"]} if one["name"] == "notes" else one
    for one in document()["servers"]
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.yaml").write_text(json.dumps(document()))
    (tmp_path / "new.yaml").write_text(json.dumps(document(servers=TIGHTER)))
    return tmp_path


def written(folder: Path, lines: Iterable[bytes]) -> Path:
    file = folder / "log.jsonl"
    file.write_bytes(b"".join(lines))
    return file


def morning() -> list[bytes]:
    requests = [asking(mint({"sub": name}), method="GET") for name in ("alice", "bob", "alice")]
    requests += [asking(mint({"scope": "x"})), asking(mint({"exp": 1})), asking(None)]
    return log_of(policy_for_tests(), requests)


def test_people_read_who_loses_what_and_why(folder: Path, capsys: Capture) -> None:
    lines = [*morning(), b"noise\n", b"\n", b'{"event":"log_dropped"}\n', b"more\n"]
    written(folder, lines)
    assert main(["replay", "--log", "log.jsonl", "--config", "new.yaml"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("6 decisions against new.yaml (")
    assert out[1:] == [
        "  unchanged            3",
        "  gained               0",
        "  lost                 3",
        "  cannot tell          0",
        "  unreadable           2  (lines 7, 10)",
        "",
        "lost",
        "      2  alice via inspector: notes, GET /notes/mcp",
        "         insufficient_scope (scopes of the server)",
        "      1  bob via inspector: notes, GET /notes/mcp",
        "         insufficient_scope (scopes of the server)",
        "",
        "not judged again, counted as unchanged",
        "      1  refused for a token that did not verify (token_expired 1)",
        "",
        "access changes: 0 gained, 3 lost",
    ]


def test_what_doctor_tried_is_nobodys_access(folder: Path, capsys: Capture) -> None:
    tried = asking(mint({"scope": "x"}), headers={"user-agent": "extauthz-doctor"})
    written(folder, [*log_of(policy_for_tests(), [tried]), *morning()])
    servers = [one | {"scopes": []} for one in document()["servers"] if one["name"] == "notes"]
    (folder / "wider.yaml").write_text(json.dumps(document(servers=servers)))
    command = ["replay", "--log", "log.jsonl", "--config", "wider.yaml"]

    assert main(command) == 1
    out = capsys.readouterr().out
    assert out.startswith("6 decisions against ")
    assert "\nnote: 1 refusal of extauthz doctor, " in out
    assert out.endswith("access changes: 1 gained, 0 lost\n")

    assert main([*command, "--with-doctor"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("7 decisions against ")
    assert "doctor" not in out
    assert out.endswith("access changes: 2 gained, 0 lost\n")

    main([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["decisions"], found["doctor_lines"]) == (6, 1)


def test_programs_read_the_same(folder: Path, capsys: Capture) -> None:
    written(folder, morning())
    assert main(["replay", "--log", "log.jsonl", "--config", "new.yaml", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["decisions"], found["unchanged"], found["lost"]) == (6, 3, 3)
    assert found["groups"][0] == {
        "count": 2,
        "section": "lost",
        "subject": "alice",
        "client_id": "inspector",
        "server": "notes",
        "call": "GET /notes/mcp",
        "reason": "insufficient_scope",
        "detail": "scopes of the server",
    }
    assert found["decided_by"] == {policy_for_tests().digest[:12]: 6}
    assert found["kept"] == [
        {"kind": "token_not_judged_again", "reason": "token_expired", "count": 1}
    ]


@pytest.mark.parametrize(
    ("config", "options", "code"),
    [
        ("old.yaml", [], 0),
        ("new.yaml", [], 1),
        ("new.yaml", ["--allow", "gains"], 1),
        ("new.yaml", ["--allow", "losses"], 0),
        ("new.yaml", ["--allow", "gains", "--allow", "losses"], 0),
        ("old.yaml", ["--strict"], 0),
    ],
)
def test_the_exit_code_is_a_gate(
    folder: Path, capsys: Capture, config: str, options: list[str], code: int
) -> None:
    written(folder, morning())
    assert main(["replay", "--log", "log.jsonl", "--config", config, *options]) == code
    assert capsys.readouterr().err == ""


def test_what_cannot_be_read_fails_only_where_that_is_asked_for(folder: Path) -> None:
    written(folder, [*morning(), b"noise\n"])
    command = ["replay", "--log", "log.jsonl", "--config", "old.yaml"]
    assert main(command) == 0
    assert main([*command, "--strict"]) == 1


def test_nothing_to_replay_is_no_success(folder: Path, capsys: Capture) -> None:
    written(folder, [b"2027-01-15T08:00:00.000Z INFO    allow event=decision\n"])
    assert main(["replay", "--log", "log.jsonl", "--config", "old.yaml"]) == 1
    out = capsys.readouterr().out
    assert "log.format: text cannot be read" in out
    assert out.endswith("there is no decision to replay\n")


def test_a_log_that_is_not_there_and_a_bad_file_are_errors(folder: Path, capsys: Capture) -> None:
    assert main(["replay", "--log", "nowhere", "--config", "old.yaml"]) == 1
    assert "extauthz replay: nowhere: cannot be read" in capsys.readouterr().err
    (folder / "bad.yaml").write_text("version: 2")
    written(folder, morning())
    assert main(["replay", "--log", "log.jsonl", "--config", "bad.yaml"]) == 1
    with pytest.raises(SystemExit) as usage:
        main(["replay", "--config", "old.yaml"])
    assert usage.value.code == 2


def test_several_logs_are_one_and_their_lines_are_counted_on(folder: Path, capsys: Capture) -> None:
    written(folder, morning())
    (folder / "other").write_bytes(b"noise\n")
    command = ["replay", "--config", "old.yaml", "--log", "log.jsonl", "--log", "other"]
    assert main(command) == 0
    assert "(line 7)" in capsys.readouterr().out


def test_a_sampled_log_says_so(folder: Path, capsys: Capture) -> None:
    requests = [asking(mint(), method="GET")]
    written(folder, log_of(policy_for_tests(), requests, allow_sample=0.1))
    assert main(["replay", "--log", "log.jsonl", "--config", "old.yaml"]) == 0
    assert "only a share of 0.1 is in the log" in capsys.readouterr().out


def test_a_log_of_refusals_alone_says_so(folder: Path, capsys: Capture) -> None:
    written(folder, log_of(policy_for_tests(), [asking(None)]))
    assert main(["replay", "--log", "log.jsonl", "--config", "new.yaml"]) == 0
    assert "nobody can be seen to lose" in capsys.readouterr().out


def test_nothing_that_a_caller_wrote_drives_the_terminal(folder: Path, capsys: Capture) -> None:
    request = asking(mint({"sub": "eve\x1b[2J\u202e"}), method="GET")
    members = json.loads(log_of(policy_for_tests(), [request])[0])
    # An ESC refuses a token; in a log that was tampered with it may stand all the same.
    members |= {"decision": "allow", "reason": None, "detail": ""}
    written(folder, [json.dumps(members).encode() + b"\n"])
    assert main(["replay", "--log", "log.jsonl", "--config", "new.yaml"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "eve\\x1b[2J\\u202e via inspector" in out


def test_memory_is_bounded_however_many_people_there_are(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "MAX_GROUPS", 60)
    lines = log_of(
        policy_for_tests(), [asking(mint({"sub": f"u{n}"}), method="GET") for n in range(70)]
    )
    written(folder, lines)
    assert main(["replay", "--log", "log.jsonl", "--config", "new.yaml"]) == 1
    out = capsys.readouterr().out
    assert "  lost                70" in out
    assert "     20  more, in further groups" in out
