"""The command: its exit codes, its report for programs, which file it holds the edge to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from extauthz.cli import main
from tests.doctor.odd_edges import edge, refused


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--url", "ftp://127.0.0.1/"], "--url: expected https://host/path"),
        (["--url", "http://127.0.0.1:99999/"], "--url: expected https://host/path"),
        (["--url", "http://ann:secret@127.0.0.1/"], "without user, query and fragment"),
        (["--url", "http://127.0.0.1/?a=b"], "without user, query and fragment"),
        (["--url", "http://127.0.0.1:1/", "--connect", "host"], "expected host:port"),
        (
            ["--url", "http://127.0.0.1:1/", "--token-file", "none"],
            "--token-file none: No such file",
        ),
        (["--url", "https://127.0.0.1:1/", "--ca-file", "none"], "--ca-file none: No such file"),
    ],
)
def test_what_cannot_be_done_is_usage(
    capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert main(["doctor", *options]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert "secret" not in captured.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "expected one, alone, on one line"),
        (b"\xff\xfe", "expected one, alone, on one line"),
        (b"a\x00secret", "expected one, alone, on one line"),
        (b"Bearer secret b", "blanks"),
        (b'"secret.b.c"\n', "stands in quotes"),
        (b'{"access_token": "secret.b.c"}', "is JSON"),
        (b"secret.b\n.c\n", "line breaks"),
    ],
)
def test_what_is_no_token_alone_is_said_without_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: bytes, told: str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(text)
    assert main(["doctor", "--url", "http://127.0.0.1:1/", "--token-file", str(file)]) == 2
    captured = capsys.readouterr().err
    assert f"--token-file {file}: " in captured
    assert told in captured
    assert "secret" not in captured


@pytest.mark.parametrize("seconds", ["0", "-1", "301", "soon", "nan"])
def test_a_timeout_is_some_seconds(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--url", "http://127.0.0.1:1/", f"--timeout={seconds}"])
    assert ended.value.code == 2
    assert "expected more than 0" in capsys.readouterr().err


def test_a_report_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with edge(refused) as (port, _):
        code = main(["doctor", "--url", f"http://127.0.0.1:{port}/mcp", "--only", "walk", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 1
    assert report["healthy"] is False
    assert {finding["finding"] for finding in report["findings"]} >= {"no_metadata_link"}
    assert all(finding["cure"] and finding["seen"] for finding in report["findings"])
    assert {check["result"] for check in report["checks"]} >= {"ok", "problem", "skipped"}


def test_nobody_at_the_address_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--url", "http://127.0.0.1:1/mcp"]) == 1
    assert "PROBLEM  unreachable" in capsys.readouterr().out


FILE = """\
version: 1
issuers: [{issuer: "https://issuer.example"}]
servers: [{name: notes, resource: "https://notes.example/mcp"}]
"""


def test_the_usual_file_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "extauthz.yaml").write_text(FILE)
    main(["doctor", "--url", "http://127.0.0.1:1/mcp"])
    told = "note: no server of ./extauthz.yaml matches http://127.0.0.1:1/mcp"
    assert told in capsys.readouterr().err
    main(["doctor", "--url", "https://notes.example/mcp", "--connect", "127.0.0.1:1"])
    assert "note:" not in capsys.readouterr().err


def test_a_usual_file_that_nobody_may_look_at_is_told_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unlooked = "x" * 300
    monkeypatch.setattr("extauthz.config.names.SEARCHED", (unlooked,))
    assert main(["doctor", "--url", "http://127.0.0.1:1/mcp"]) == 1
    assert f"{unlooked}: cannot be read: File name too long" in capsys.readouterr().err


def test_a_bad_file_is_told_with_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(FILE.replace("servers", "server"))
    assert main(["doctor", "--url", "http://127.0.0.1:1/mcp", "--config", str(file)]) == 1
    assert f"{file}:3:1" in capsys.readouterr().err
