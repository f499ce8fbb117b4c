"""The container image: what it installs is locked by hash, listed, and run without privileges."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from extauthz.cli import COMMANDS
from tests.deploy.manifests import ROOT, needed

DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCKS = ("build.txt", "image.txt", "otel.txt", "runtime.txt")


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, on one line."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (line.split(maxsplit=1)[0], " ".join(line.split(maxsplit=1)[1].split()))
        for line in text.splitlines()
        if line.strip()
    ]


def installs() -> list[str]:
    """Every command of the image that installs something."""
    commands = [
        command.strip()
        for name, arguments in instructions()
        if name == "RUN"
        for command in arguments.split("&&")
    ]
    return [command for command in commands if re.search(r"\binstall\b", command)]


def test_whatever_comes_from_outside_is_installed_by_its_hash() -> None:
    """The one other installation is that of the wheel that was just built."""
    found = installs()
    from_outside = [command for command in found if "--no-index" not in command]
    assert len(from_outside) >= 2
    for command in from_outside:
        assert "--require-hashes" in command, command
        assert "--only-binary=:all:" in command, command
        assert re.search(r"-r \"?requirements/", command), command
    for command in set(found) - set(from_outside):
        assert "--no-deps" in command, command


def test_nothing_else_is_fetched() -> None:
    for name, arguments in instructions():
        assert name != "ADD"
        if name == "RUN":
            assert not re.search(r"\b(?:curl|wget|apt-get|apk|git)\b", arguments)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_version_and_a_hash(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text().replace("\\\n", " ")
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    assert lines
    for line in lines:
        assert re.match(r"[\w.\[\]-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_the_locks_that_the_image_can_be_built_with_are_there() -> None:
    (default,) = re.findall(r"^ARG REQUIREMENTS=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert default == "image.txt"
    (copied,) = [args for name, args in instructions() if name == "COPY" and "build.txt" in args]
    assert set(LOCKS) == {Path(file).name for file in copied.split()[:-1]}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert "!requirements" in ignored


@pytest.mark.parametrize("lock", ["image.txt", "otel.txt"])
def test_the_image_has_the_fast_loop_and_the_native_transport(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    assert {"hpack", "uvloop"} <= set(locked)
    measured = (ROOT / "requirements/bench.txt").read_text()
    assert f"uvloop=={locked['uvloop']} " in measured


def test_nothing_is_compiled_at_a_start() -> None:
    """The image writes no bytecode when it runs, so all of it must be there before."""
    stages = DOCKERFILE.split("\nFROM ")
    build, final = stages[-2:]
    assert "PYTHONDONTWRITEBYTECODE" not in build
    assert "--no-compile" not in build
    assert "compileall" in final
    assert final.index("compileall") < final.index("PYTHONDONTWRITEBYTECODE=1")
    assert '"/usr/local/lib/python${PYTHON_VERSION}"' in final


def test_the_image_runs_as_a_number_that_is_not_root_and_says_when_it_is_ready() -> None:
    last = dict(instructions())
    assert last["USER"] == "65532:65532"
    assert json.loads(last["ENTRYPOINT"]) == ["python", "-m", "extauthz"]
    assert json.loads(last["CMD"])[0] in COMMANDS
    probe = last["HEALTHCHECK"].split("CMD ", 1)[1]
    assert json.loads(probe)[-1] in COMMANDS
    assert last["EXPOSE"].split() == ["9191", "8080", "9090"]


def test_the_linter_has_no_complaint() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("NOT TESTED: there is no hadolint here; make setup")
    subprocess.run([hadolint, ROOT / "Dockerfile"], check=True)


def test_the_bill_of_materials_lists_what_the_image_installs(tmp_path: Path) -> None:
    """As `make sbom` writes it: every package of the lock, with version and hashes."""
    needed("cyclonedx_py")
    file = tmp_path / "sbom.json"
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (recipe,) = re.findall(r"^\t\$\(BIN\)/cyclonedx-py (.*)$", makefile, re.MULTILINE)
    arguments = recipe.replace("dist/extauthz.cdx.json", str(file)).split()
    subprocess.run(
        [Path(sys.executable).parent / "cyclonedx-py", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    bill = json.loads(file.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "extauthz"
    listed = {(one["name"], one["version"]) for one in bill["components"]}
    lock = (ROOT / "requirements/image.txt").read_text()
    assert listed == set(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    for one in bill["components"]:
        assert one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}"
        assert one["externalReferences"][0]["hashes"], one["name"]
