"""The files that the demo writes are taken by the programs that read them."""

from __future__ import annotations

import re
import shutil
import socket
import stat
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from extauthz.config.load import load
from extauthz.demo.layout import (
    SCOPES,
    DemoError,
    Ports,
    WorkDirectory,
    extauthz_yaml,
)
from tests.e2e.processes import REPOSITORY


def test_free_ports_are_all_different() -> None:
    ports = Ports.free(iter([1, 1, 2, 2, *range(3, 20)]).__next__)
    assert sorted(asdict(ports).values()) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_fixed_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DemoError, match=rf"port {port} \(notes\) is taken"):
            Ports(**{**asdict(Ports.free()), "notes": port}).all_free()


def test_extauthz_reads_its_file_without_a_complaint(tmp_path: Path) -> None:
    ports = Ports.free()
    work = WorkDirectory(tmp_path)
    work.write(ports, "secret")
    loaded = load(str(work.extauthz_file), environ={})
    assert not loaded.warnings
    resources = [server.resource for server in loaded.settings.servers]
    assert resources == [ports.resource("calculator"), ports.resource("notes")]


def test_envoy_is_told_the_ports_of_the_demo_and_no_others(tmp_path: Path) -> None:
    ports = Ports(**{name: port + 20_000 for name, port in asdict(Ports()).items()})
    work = WorkDirectory(tmp_path)
    work.write(ports, "secret")
    told = re.findall(r"port_value: *(\d+)", work.envoy_file.read_text())
    names = ("edge", "envoy_admin", "calculator", "notes", "grpc")
    assert sorted(map(int, told)) == sorted(asdict(ports)[name] for name in names)


def test_a_package_alone_in_a_folder_has_all_that_the_demo_writes(tmp_path: Path) -> None:
    """As an installation has it: none of the folders beside the package in a clone."""
    shutil.copytree(REPOSITORY / "extauthz", tmp_path / "extauthz")
    code = (
        "from pathlib import Path; from extauthz.demo.layout import Ports, WorkDirectory;"
        "WorkDirectory(Path('work')).write(Ports(), 'secret')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    written = sorted(path.name for path in (tmp_path / "work").iterdir())
    assert written == ["client-secret", "envoy.yaml", "extauthz.yaml"]


@pytest.mark.e2e
def test_envoy_accepts_its_file(tmp_path: Path, envoy: Path) -> None:
    work = WorkDirectory(tmp_path)
    work.write(Ports.free(), "secret")
    outcome = subprocess.run(
        [envoy, "--mode", "validate", "-c", work.envoy_file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr


def test_the_client_secret_is_for_its_owner_only(tmp_path: Path) -> None:
    work = WorkDirectory(tmp_path / "deep" / "work")
    for secret in ("first", "second"):
        work.write(Ports(), secret)
    assert work.secret_file.read_text() == "second"
    assert stat.S_IMODE(work.secret_file.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_to_is_named_with_the_way_out(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    with pytest.raises(DemoError, match="--work-dir"):
        WorkDirectory(occupied).write(Ports(), "secret")


def test_rules_of_the_demo_name_only_scopes_that_its_issuer_grants() -> None:
    text = extauthz_yaml(Ports())
    assert all(scope in text for scope in SCOPES)
