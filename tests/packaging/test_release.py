"""What must be true of the files around the code before a version goes out."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import extauthz

ROOT = Path(__file__).resolve().parents[2]
# https://semver.org: MAJOR.MINOR.PATCH with an optional pre-release.
SEMVER = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?"
LOCKS = {
    "build": None,
    "demo": "demo",
    "deploy": "deploy",
    "dev": "dev",
    "otel": "otel",
    "runtime": "",
}


def here(lines: Iterable[str]) -> list[Requirement]:
    """The requirements among ``lines`` that count on this Python and platform."""
    found = [Requirement(line) for line in lines]
    return [one for one in found if one.marker is None or one.marker.evaluate()]


def pinned(lock: str) -> dict[str, str]:
    """The versions in a lock file, by normalised package name."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in here(re.findall(r"^([\w.-]+==.*?)(?: \\)?$", text, re.MULTILINE))
    }


def required(extra: str) -> list[Requirement]:
    """What pyproject.toml asks for with ``extra``, its references to other extras followed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = here(project["dependencies"])
    waiting, seen = [extra] if extra else [], set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for requirement in here(project["optional-dependencies"][name]):
            if requirement.name == "extauthz":
                waiting.extend(requirement.extras - seen)
            else:
                found.append(requirement)
    return found


def test_the_version_is_semantic_and_heads_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", changelog, re.MULTILINE)
    versions = [(version, date) for version, date in releases if version != "Unreleased"]
    newest, date = versions[0]
    assert re.fullmatch(SEMVER, extauthz.__version__)
    assert newest == extauthz.__version__
    assert dt.date.fromisoformat(date) >= dt.date(2026, 11, 21)


@pytest.mark.parametrize("folder", ["proto", "envoy", "nginx"])
def test_folders_with_names_of_other_packages_are_no_packages(folder: str) -> None:
    """With an ``__init__.py`` it would shadow theirs whenever Python starts here."""
    assert not list((ROOT / folder).rglob("__init__.py"))


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    entries = re.split(r"\n(?=\S)", text)
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize("lock", [lock for lock, extra in LOCKS.items() if extra is not None])
def test_locks_are_in_step_with_what_pyproject_asks_for(lock: str) -> None:
    versions = pinned(lock)
    unmet = [
        str(requirement)
        for requirement in required(LOCKS[lock] or "")
        if versions.get(canonicalize_name(requirement.name), "0") not in requirement.specifier
    ]
    assert not unmet, "run `make lock`"


@pytest.mark.parametrize("lock", ["build", "demo", "runtime"])
def test_a_package_has_the_same_version_in_every_lock(lock: str) -> None:
    assert pinned(lock).items() <= pinned("dev").items()


def test_licence_of_what_is_vendored_is_here() -> None:
    licence = (ROOT / "LICENSES" / "Apache-2.0.txt").read_text()
    assert licence == (ROOT / "LICENSE").read_text()
    assert "proto/external_auth.proto" in (ROOT / "NOTICE").read_text()
