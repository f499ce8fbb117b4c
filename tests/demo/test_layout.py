"""The files that the demo writes are taken by the programs that read them."""

from __future__ import annotations

import socket
import stat
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from extauthz.config.load import load
from extauthz.demo.layout import (
    SCOPES,
    DemoError,
    Ports,
    WorkDirectory,
    envoy_yaml,
    extauthz_yaml,
    shipped_envoy_file,
)


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


def test_every_port_of_the_shipped_envoy_file_is_replaced() -> None:
    ports = Ports(**{name: port + 20_000 for name, port in asdict(Ports()).items()})
    text = envoy_yaml(shipped_envoy_file().read_text(), ports)
    for name in ("edge", "envoy_admin", "calculator", "notes", "grpc"):
        old, new = asdict(Ports())[name], asdict(ports)[name]
        assert f"port_value: {old}" not in text
        assert f"port_value: {new}" in text


def test_an_unknown_port_in_the_envoy_file_is_an_error() -> None:
    with pytest.raises(DemoError, match="unknown port: 4242"):
        envoy_yaml("{port_value: 4242}", Ports())


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
