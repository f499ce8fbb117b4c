"""The sdist and the wheel of the last commit: complete, reproducible, and they run."""

from __future__ import annotations

import email
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import extauthz

ROOT = Path(__file__).resolve().parents[2]
# A build must not see the settings of whoever starts it, but for the way to the index.
OUTSIDE = ("PYTHONPATH", "PYTHONHASHSEED", "SOURCE_DATE_EPOCH", "VIRTUAL_ENV")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """The standard output of a command that must succeed."""
    environment = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(done.args)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean_tree(target: Path) -> Path:
    """Lay out the files of the last commit, and no others, in ``target``."""
    # Unpacked from a zip, files are as old as their unpacking: two trees differ in that.
    archive = target.with_suffix(".zip")
    run("git", "archive", "--format=zip", "--output", archive, "HEAD", cwd=ROOT)
    shutil.unpack_archive(archive, target)
    return target


@dataclass(frozen=True)
class Built:
    """What ``python -m build`` made, and the tree that it was made from."""

    tree: Path
    sdist: Path
    wheel: Path


def build(folder: Path, **variables: str) -> Built:
    """Build the last commit. The wheel is made from the sdist, as installers would."""
    tree, out = clean_tree(folder / "tree"), folder / "dist"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=tree, **variables)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built(tree, sdist, wheel)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    return build(tmp_path_factory.mktemp("built"))


def test_the_wheel_holds_the_package_whole_and_nothing_beside_it(built: Built) -> None:
    """No top-level ``envoy``, ``nginx``, ``proto`` or ``tests``; every file of the package."""
    info = f"extauthz-{extauthz.__version__}.dist-info"
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    assert {name.split("/")[0] for name in names} == {"extauthz", info}
    package = {
        str(path.relative_to(built.tree))
        for path in (built.tree / "extauthz").rglob("*")
        if path.is_file()
    }
    assert {name for name in names if name.startswith("extauthz/")} == package
    assert "extauthz/_pb/external_auth_pb2.py" in names
    assert "extauthz/py.typed" in names
    licences = {f"{info}/licenses/{name}" for name in ("LICENSE", "NOTICE")}
    assert {*licences, f"{info}/licenses/LICENSES/Apache-2.0.txt"} <= names


def test_the_metadata_names_the_extras_and_the_licence(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        info = f"extauthz-{extauthz.__version__}.dist-info"
        metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert {"demo", "native", "otel", "generate"} <= set(metadata.get_all("Provides-Extra") or ())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_sdist_holds_what_its_tests_and_builds_need(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    wanted = {
        str(path.relative_to(built.tree))
        for folder in ("extauthz", "proto", "envoy", "nginx", "requirements", "tests", "docs")
        for path in (built.tree / folder).rglob("*")
        if path.is_file()
    }
    assert wanted | {"CHANGELOG.md", "LICENSE", "Makefile", "NOTICE", "README.md"} <= names


def test_two_builds_of_a_commit_are_equal_byte_for_byte(built: Built, tmp_path: Path) -> None:
    again = build(tmp_path, PYTHONHASHSEED="1")
    assert again.sdist.read_bytes() == built.sdist.read_bytes()
    assert again.wheel.read_bytes() == built.wheel.read_bytes()


def test_the_dockerfile_copies_all_that_the_wheel_is_made_of(built: Built, tmp_path: Path) -> None:
    """What its COPY lines name builds the same wheel, and .dockerignore lets each of it in."""
    context, dist = tmp_path / "src", tmp_path / "dist"
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    for line in (built.tree / "Dockerfile").read_text().splitlines():
        if not line.startswith("COPY ") or "--from" in line:
            continue
        *sources, target = line.split()[1:]
        for source in sources:
            assert f"!{source.split('/')[0]}" in ignore
            copied = built.tree / source
            if copied.is_dir():
                shutil.copytree(copied, context / target)
            else:
                (context / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(copied, context / target)
    build_wheel = ("-m", "build", "--no-isolation", "--wheel")
    run(sys.executable, *build_wheel, "--outdir", dist, cwd=context)
    (wheel,) = dist.glob("*.whl")
    assert wheel.read_bytes() == built.wheel.read_bytes()


# Everything but what an extra brings must be importable with the bare dependencies.
IMPORT_ALL = """
import importlib, pkgutil, extauthz
extras = (
    "extauthz.__main__", "extauthz.adapters.http2_connection", "extauthz.adapters.http2_headers",
    "extauthz.backend.starlette", "extauthz.demo", "extauthz.generate", "extauthz.telemetry.spans",
)
for module in pkgutil.walk_packages(extauthz.__path__, "extauthz.", onerror=print):
    if not module.name.startswith(extras):
        importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing but the locked dependencies, and no extra."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=folder)
    locks = built.tree / "requirements"
    locked = ("--require-hashes", "-r", locks / "runtime.txt", "-r", locks / "build.txt")
    pip(folder / "venv", "install", *locked)
    return folder / "venv"


def pip(venv: Path, *arguments: str | Path) -> None:
    """Let our pip work on another environment."""
    quiet = ("--disable-pip-version-check", "--quiet")
    python = venv / "bin" / "python"
    run(sys.executable, "-m", "pip", *quiet, "--python", python, *arguments, cwd=venv)


@pytest.mark.long
@pytest.mark.parametrize(
    "choose", [lambda built: built.wheel, lambda built: built.sdist], ids=["wheel", "sdist"]
)
def test_installed_alone_it_runs(
    built: Built, environment: Path, tmp_path: Path, choose: Callable[[Built], Path]
) -> None:
    install = ("install", "--no-deps", "--no-build-isolation", "--force-reinstall")
    pip(environment, *install, choose(built))
    pip(environment, "check")

    version, python = extauthz.__version__, environment / "bin" / "python"
    assert version in run(environment / "bin" / "extauthz", "version", cwd=tmp_path)
    assert version in run(python, "-m", "extauthz", "version", cwd=tmp_path)
    run(python, "-I", "-W", "error", "-c", IMPORT_ALL, cwd=tmp_path)
