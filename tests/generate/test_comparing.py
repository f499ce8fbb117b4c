"""`generate --check`: what lies there is what would be written, or it is told where not."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from extauthz import __version__
from extauthz.cli import main
from extauthz.generate.comparing import MOST_LINES, difference, written_by
from extauthz.generate.proxies import WRITERS
from tests.generate.inventories import inventory, server

ALL = sorted(WRITERS)
SERVER = server(upstream="http://calculator:8001")
ANOTHER = server("notes", upstream="http://notes:8001")


class Run:
    """The command, in a folder with an inventory."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def inventory(self, *servers: dict[str, Any]) -> None:
        (self.folder / "extauthz.yaml").write_text(json.dumps(inventory(*servers)))

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["generate", *arguments])
        except SystemExit as end:
            code = int(str(end.code))
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def to_file(self, proxy: str, name: str) -> Path:
        path = self.folder / name
        path.write_text(self(proxy)[1])
        return path

    def everything(self) -> dict[str, bytes]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    run = Run(tmp_path, capsys)
    run.inventory(SERVER)
    return run


# ---- equal


@pytest.mark.parametrize("proxy", ALL)
def test_what_was_just_written_is_what_would_be_written(run: Run, proxy: str) -> None:
    run(proxy, "--output", "folder")
    run.to_file(proxy, "deployed")
    for path in ("folder", "folder/", "deployed"):
        code, out, err = run(proxy, "--check", path)
        assert code == 0, out + err
        assert out.startswith(f"ok: {path} ")
        assert out.count("\n") == 1
        assert f"extauthz {__version__} writes" in out
        assert "write it anew" not in err


def test_names_may_hold_anything(run: Run) -> None:
    odd = "a {b} 'c' %s.yaml"
    (run.folder / "extauthz.yaml").rename(run.folder / odd)
    given, path = ("caddy", "--config", odd), "{0} $(x).conf"
    assert (
        f"write it anew: extauthz generate caddy --config {shlex.quote(odd)}"
        in (run(*given, "--check", path)[2])
    )
    (run.folder / path).write_text(run(*given)[1])
    assert (
        f"ok: {path} is what extauthz {__version__} writes for {odd}\n"
        in (run(*given, "--check", path)[1])
    )


def test_files_in_the_folder_that_are_not_written_are_nobodys_business(run: Run) -> None:
    run("nginx", "--output", "nginx")
    (run.folder / "nginx" / "mime.types").write_text("types {}")
    assert run("nginx", "--check", "nginx")[0] == 0


@pytest.mark.parametrize(
    ("proxy", "path", "left"),
    [
        ("haproxy", "folder/haproxy.cfg", "extauthz.lua"),
        ("haproxy", "folder/extauthz.lua", "haproxy.cfg"),
        ("haproxy", "alone.cfg", "extauthz.lua"),
        ("traefik", "alone.yml", "traefik.yml"),
        ("nginx", "folder/nginx.conf", "extauthz-answer.conf"),
        ("nginx", "alone.conf", None),
        ("nginx", "nginx.conf", None),
        ("caddy", "folder/Caddyfile", None),
    ],
)
def test_of_one_file_it_is_said_which_others_were_not_compared(
    run: Run, proxy: str, path: str, left: str | None
) -> None:
    run(proxy, "--output", "folder")
    if not path.startswith("folder"):
        run.to_file(proxy, path)
    code, out, _ = run(proxy, "--check", path)
    assert code == 0
    assert ("not compared" in out) == (left is not None)
    assert left is None or left in out


# ---- different


@pytest.mark.parametrize("proxy", ALL)
def test_a_server_more_is_a_difference(run: Run, proxy: str) -> None:
    run(proxy, "--output", "folder")
    deployed = run.to_file(proxy, "deployed")
    run.inventory(SERVER, ANOTHER)
    before = run.everything()
    code, out, err = run(proxy, "--check", "deployed")
    assert code == 1
    assert out.startswith("--- deployed\n+++ deployed (to be written)\n@@ ")
    assert "\n+" in out
    assert f"deployed differs from what extauthz {__version__} writes for" in err
    assert run(proxy, "--check", "folder")[0] == 1
    assert run.everything() == before, "nothing is written"
    assert deployed.exists()


def test_what_it_says_to_do_mends_it(run: Run) -> None:
    run("nginx", "--output", "with blank")
    run.to_file("nginx", "one.conf")
    run.inventory(SERVER, ANOTHER)
    for path in ("with blank", "one.conf", "with blank/nginx.conf"):
        given = ("nginx", "--config", "./extauthz.yaml", "--listen-http", "127.0.0.1:1")
        code, _, err = run(*given, "--check", path)
        assert code == 1
        words = shlex.split(err.splitlines()[-1].removeprefix("write it anew: "))
        assert words[:2] == ["extauthz", "generate"]
        if words[-2] == ">":
            assert words[-1] == path
            (run.folder / path).write_text(run(*words[2:-2])[1])
        else:
            assert run(*words[2:])[0] == 0
        assert run(*given, "--check", path)[0] == 0
        (run.folder / "with blank" / "nginx.conf").write_text("edited")


@pytest.mark.parametrize(
    "words", [("envoy", "--calls", "body"), ("istio", "--namespace", "mcp"), ("envoy",)]
)
def test_the_other_options_count_and_are_repeated(run: Run, words: tuple[str, ...]) -> None:
    assert (
        f"write it anew: extauthz generate {' '.join(words)} --output new\n"
        in (run(*words, "--check", "new/")[2])
    )
    run(*words, "--output", "new")
    assert run(*words, "--check", "new")[0] == 0


def test_a_file_that_is_not_there_is_missing_and_the_others_are_compared(run: Run) -> None:
    run("nginx", "--output", "nginx")
    (run.folder / "nginx" / "extauthz-http.conf").unlink()
    main_file = run.folder / "nginx" / "nginx.conf"
    main_file.write_text(main_file.read_text() + "# by hand\n")
    code, out, err = run("nginx", "--check", "nginx")
    assert code == 1
    assert "-# by hand\n" in out
    assert "nginx/extauthz-http.conf is missing\n" in err
    assert "nginx/nginx.conf differs" in err


@pytest.mark.parametrize(
    ("proxy", "path", "anew"),
    [
        ("caddy", "Caddyfile", "> Caddyfile"),
        ("caddy", "folder/", "--output folder"),
        ("nginx", "folder", "--output folder"),
        ("nginx", "all.conf", "> all.conf"),
        ("haproxy", "x/extauthz.lua", "--output x"),
    ],
)
def test_what_is_not_there_at_all_is_missing(run: Run, proxy: str, path: str, anew: str) -> None:
    code, out, err = run(proxy, "--check", path)
    assert (code, out) == (1, "")
    assert "is missing\n" in err
    assert err.endswith(f"write it anew: extauthz generate {proxy} {anew}\n")


def test_a_file_that_another_command_wrote_is_told_by_its_first_line(run: Run) -> None:
    run.to_file("envoy-http", "envoy.yaml")
    assert (
        "it was written by extauthz generate envoy-http, not by extauthz generate envoy "
        in (run("envoy", "--check", "envoy.yaml")[2])
    )
    (run.folder / "envoy.yaml").write_text("static_resources: {}\n")
    assert "it does not say what wrote it" in run("envoy", "--check", "envoy.yaml")[2]


def test_what_came_through_a_pipe_is_compared_too(run: Run) -> None:
    text = run("caddy")[1]
    for sent, expected in ((text, 0), (text + "# more\n", 1)):
        reader, writer = os.pipe()
        os.write(writer, sent.encode())
        os.close(writer)
        code, _, err = run("caddy", "--check", f"/dev/fd/{reader}")
        os.close(reader)
        assert code == expected
        assert ">" not in err


# ---- not to be read, and usage


@pytest.mark.parametrize("path", ["extauthz.yaml/x", "extauthz.yaml/x/"])
def test_what_cannot_be_read_is_said_and_nothing_is_advised(run: Run, path: str) -> None:
    code, out, err = run("caddy", "--check", path)
    assert (code, out) == (1, "")
    assert "cannot read extauthz.yaml/x: not a directory" in err
    assert "write it anew" not in err


@pytest.mark.parametrize("path", ["x" * 300, "x" * 300 + "/", "x" * 300 + "/Caddyfile"])
def test_where_nobody_can_look_it_is_said(run: Run, path: str) -> None:
    """As where nobody may, which tests that run as root cannot have."""
    code, out, err = run("caddy", "--check", path)
    assert (code, out) == (1, "")
    assert f"cannot read {path.rstrip('/')}: file name too long" in err
    assert "write it anew" not in err


def test_a_folder_in_a_files_place_cannot_be_read(run: Run) -> None:
    (run.folder / "edge" / "Caddyfile").mkdir(parents=True)
    code, _, err = run("caddy", "--check", "edge")
    assert code == 1
    assert "cannot read edge/Caddyfile: is a directory" in err


def test_what_has_no_end_is_not_read_to_it(run: Run) -> None:
    code, out, err = run("caddy", "--check", "/dev/zero")
    assert (code, out) == (1, "")
    assert "larger than anything" in err


def test_a_bad_inventory_is_no_difference(run: Run) -> None:
    run.to_file("caddy", "Caddyfile")
    run.inventory(server(upstream="nonsense"))
    code, out, err = run("caddy", "--check", "Caddyfile")
    assert (code, out) == (1, "")
    assert "servers[0].upstream" in err


@pytest.mark.parametrize(
    "words", [("--check", "x", "--output", "y"), ("--check", ""), ("--output", "")]
)
def test_a_call_that_makes_no_sense_is_a_usage_error(run: Run, words: tuple[str, ...]) -> None:
    assert run("caddy", *words)[0] == 2
    assert not (run.folder / "Caddyfile").exists()


# ---- the lines themselves


def test_equal_is_equal_to_the_byte() -> None:
    assert difference("x", "é\n".encode(), "é\n") == []
    for found in (b"a\r\n", b"\xef\xbb\xbfa\n", b"a", b"a\n\n", b"", b"\xe9\n"):
        assert difference("x", found, "a\n"), found


def test_a_diff_has_so_many_lines_and_no_more() -> None:
    head = 3
    just = "\n" * (MOST_LINES - head)
    assert len(difference("x", just.encode(), "")) == MOST_LINES
    more = difference("x", (just + "\n").encode(), "")
    assert len(more) == MOST_LINES + 1
    assert more[-1] == "… and 1 more"


def test_a_line_of_a_deployed_file_does_nothing_to_a_terminal() -> None:
    lines = difference("x", b"\x1b]0;me\x07\r\n\tb\xff\n", "\n")
    assert "-\\x1b]0;me\\x07\\r" in lines
    assert "-\tb\\xff" in lines
    assert all(char.isprintable() or char == "\t" for line in lines for char in line)


def test_a_long_line_is_cut() -> None:
    assert max(map(len, difference("x", b"a" * 10_000, ""))) < 500


def test_a_missing_end_of_line_is_told() -> None:
    assert "\n\\ No newline at end of file" in "\n".join(difference("x", b"a", "a\n"))


def test_only_a_line_that_we_write_names_what_wrote_a_file() -> None:
    line = "# Written by `extauthz generate envoy --calls mcp`; change extauthz.yaml and"
    assert written_by(line) == written_by(line.encode()) == "extauthz generate envoy --calls mcp"
    for other in ("", "# x\n" + line, "# Written by `rm -rf /`", line.replace("mcp", "\x1b[31m")):
        assert written_by(other) is None
