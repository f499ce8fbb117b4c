"""Last good keys survive a restart; whatever is wrong on disk costs only that."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from extauthz.core.model import Reason
from extauthz.keys.snapshot import Snapshot, SnapshotFolder
from extauthz.keys.source import IssuerSource

from .desk import Desk, kids, status
from .fake_issuer import ISSUER, JWKS_URI, document
from .fake_time import settle

SOURCE = IssuerSource(name="corp", issuer=ISSUER, jwks_uri=JWKS_URI, max_stale=1000.0)
SAVED = Snapshot(document("a"), 5000.0)


@pytest.fixture
def folder(tmp_path: Path) -> SnapshotFolder:
    return SnapshotFolder(tmp_path / "state")


def only_file(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "state").iterdir()
    return file


def test_what_was_saved_is_loaded(folder: SnapshotFolder, tmp_path: Path) -> None:
    assert folder.load(SOURCE, 5000.0) is None
    folder.save(SOURCE, SAVED)
    assert folder.load(SOURCE, 5999.0) == SAVED
    newer = Snapshot(document("b"), 5500.0)
    folder.save(SOURCE, newer)
    assert folder.load(SOURCE, 5999.0) == newer
    assert stat.S_IMODE(only_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("now", "used"),
    [
        (5000.0, True),
        (5999.9, True),
        (6000.0, False),
        (4940.0, True),
        (4939.0, False),
        (1000000000000.0, False),
        (-1000000000000.0, False),
    ],
)
def test_it_is_used_neither_too_late_nor_from_the_future(
    folder: SnapshotFolder, now: float, used: bool
) -> None:
    folder.save(SOURCE, SAVED)
    assert (folder.load(SOURCE, now) is not None) is used


@pytest.mark.parametrize(
    "change",
    [
        {"jwks_uri": "https://other.example/keys"},
        {"ca_file": "/ca.pem"},
        {"discovery": "off"},
        {"issuer": "https://other.example"},
        {"allow_http_hosts": frozenset({"x"})},
    ],
    ids=str,
)
def test_keys_of_other_settings_are_not_used(
    folder: SnapshotFolder, change: dict[str, Any]
) -> None:
    folder.save(SOURCE, SAVED)
    assert folder.load(replace(SOURCE, **change), 5000.0) is None
    assert folder.load(replace(SOURCE, name="renamed", refresh=5.0), 5000.0) == SAVED


def test_two_sources_of_one_issuer_do_not_write_over_each_other(folder: SnapshotFolder) -> None:
    other = replace(SOURCE, name="other", jwks_uri="https://other.example/keys")
    theirs = Snapshot(document("b"), 5000.0)
    folder.save(SOURCE, SAVED)
    folder.save(other, theirs)
    assert folder.load(SOURCE, 5000.0) == SAVED
    assert folder.load(other, 5000.0) == theirs


def test_a_file_that_was_written_for_other_settings_is_ignored(
    folder: SnapshotFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever put it in the place of ours."""
    folder.save(replace(SOURCE, jwks_uri="https://other.example/keys"), SAVED)
    file = only_file(tmp_path)
    file.rename(folder._file(SOURCE))
    assert folder.load(SOURCE, 5000.0) is None
    assert "other settings" in caplog.text


@pytest.mark.parametrize(
    "issuer",
    ["../../etc/passwd", "/etc/passwd", "https://a/\0", "https://i/" + "x" * 5000, "ü\ud800"],
)
def test_no_name_of_an_issuer_leads_out_of_the_folder(
    folder: SnapshotFolder, tmp_path: Path, issuer: str
) -> None:
    source = replace(SOURCE, issuer=issuer)
    folder.save(source, SAVED)
    assert only_file(tmp_path).parent == tmp_path / "state"
    assert folder.load(source, 5000.0) == SAVED


def damage(content: bytes, **members: Any) -> bytes:
    return json.dumps({**json.loads(content), **members}).encode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:-10],
        lambda content: b"\xff" + content,
        lambda content: b"[]",
        lambda content: b"[" * 100_000,
        lambda content: b" " * 10_000_000,
        lambda content: damage(content, version=2),
        lambda content: damage(content, issuer="https://other.example"),
        lambda content: damage(content, origin="x"),
        lambda content: damage(content, document=None),
        lambda content: damage(content, fetched_at="5000"),
        lambda content: damage(content, fetched_at=float("nan")),
        lambda content: damage(content, fetched_at=True),
        lambda content: damage(content, fetched_at=10**400),
        lambda content: damage(content, fetched_at=-(10**400)),
        lambda content: damage(content, fetched_at=float("inf")),
    ],
)
def test_a_damaged_file_is_ignored_with_a_warning(
    folder: SnapshotFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Any
) -> None:
    folder.save(SOURCE, SAVED)
    file = only_file(tmp_path)
    file.write_bytes(spoil(file.read_bytes()))
    assert folder.load(SOURCE, 5000.0) is None
    assert "snapshot of issuer corp is ignored" in caplog.text


def test_a_file_that_others_may_write_is_ignored(folder: SnapshotFolder, tmp_path: Path) -> None:
    """Whoever writes it says which tokens are good."""
    folder.save(SOURCE, SAVED)
    file = only_file(tmp_path)
    for mode, used in ((0o644, True), (0o660, False), (0o606, False), (0o400, True)):
        file.chmod(mode)
        assert (folder.load(SOURCE, 5000.0) is not None) is used


def test_only_a_regular_file_is_read(folder: SnapshotFolder, tmp_path: Path) -> None:
    folder.save(SOURCE, SAVED)
    file = only_file(tmp_path)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert folder.load(SOURCE, 5000.0) is None
    file.unlink()
    os.mkfifo(file, 0o600)
    assert folder.load(SOURCE, 5000.0) is None
    file.unlink()
    file.mkdir()
    assert folder.load(SOURCE, 5000.0) is None


def test_a_full_disk_leaves_the_last_snapshot_in_place(
    folder: SnapshotFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder.save(SOURCE, SAVED)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    folder.save(SOURCE, Snapshot(document("b"), 5500.0))
    assert "No space left on device" in caplog.text
    assert folder.load(SOURCE, 5000.0) == SAVED
    assert only_file(tmp_path).is_file()


def test_a_folder_that_cannot_be_made_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("x")
    folder = SnapshotFolder(tmp_path / "file" / "state")
    folder.save(SOURCE, SAVED)
    assert "no snapshot of the keys" in caplog.text
    assert folder.load(SOURCE, 5000.0) is None


class TestRestart:
    async def saved(self, desk: Desk, path: Path) -> None:
        desk.issuer.publish("a")
        store = await desk.open(snapshot_dir=path)
        await store.aclose()
        assert os.listdir(path)  # noqa: PTH208  pathlib is not for coroutines

    async def test_a_restart_during_an_outage_serves(self, desk: Desk, tmp_path: Path) -> None:
        await self.saved(desk, tmp_path)
        desk.issuer.fail()
        await desk.time.advance(3600)
        store = await desk.open(snapshot_dir=tmp_path)
        assert kids(store) == ["a"]
        assert status(store).from_snapshot
        assert status(store).age_seconds == 3600
        assert status(store).first_attempt_done
        assert await store.find("corp", "x", wait=0.0) is Reason.KEYS_UNAVAILABLE
        desk.issuer.publish("b")
        await desk.time.advance(60)
        assert kids(store) == ["b"]
        assert not status(store).from_snapshot

    async def test_keys_on_disk_grow_old_as_those_in_memory_do(
        self, desk: Desk, tmp_path: Path
    ) -> None:
        await self.saved(desk, tmp_path)
        desk.issuer.fail()
        await desk.time.advance(86000)
        store = await desk.open(snapshot_dir=tmp_path)
        await desk.time.advance(399)
        assert kids(store) == ["a"]
        await desk.time.advance(1)
        assert kids(store) is None
        assert kids(await desk.open(snapshot_dir=tmp_path)) is None

    async def test_the_issuers_answer_wins_over_the_disk(self, desk: Desk, tmp_path: Path) -> None:
        await self.saved(desk, tmp_path)
        desk.issuer.publish("b")
        store = await desk.open(snapshot_dir=tmp_path)
        await settle()
        assert kids(store) == ["b"]

    async def test_a_snapshot_without_a_usable_key_is_ignored(
        self, desk: Desk, tmp_path: Path
    ) -> None:
        folder = SnapshotFolder(tmp_path)
        folder.save(desk.source(), Snapshot(b'{"keys": []}', desk.time.wall()))
        desk.issuer.fail()
        assert kids(await desk.open(snapshot_dir=tmp_path)) is None

    async def test_a_file_that_breaks_us_costs_its_issuer_the_snapshot_and_nobody_else(
        self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.saved(desk, tmp_path)
        whole = SnapshotFolder.load

        def breaks(folder: SnapshotFolder, source: IssuerSource, now: float) -> Snapshot | None:
            if source.name == "broken":
                raise ZeroDivisionError("a bug")
            return whole(folder, source, now)

        monkeypatch.setattr(SnapshotFolder, "load", breaks)
        desk.issuer.fail()
        store = await desk.open(desk.source("broken"), desk.source(), snapshot_dir=tmp_path)
        assert kids(store) == ["a"]
        assert kids(store, "broken") is None

    async def test_a_file_of_keys_is_not_copied(self, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "keys.json").write_bytes(document("a"))
        source = desk.source(jwks_file=str(tmp_path / "keys.json"))
        store = await desk.open(source, snapshot_dir=tmp_path / "state")
        await store.wait_first_attempts()
        await store.aclose()
        assert kids(store) == ["a"]
        assert not (tmp_path / "state").exists()
