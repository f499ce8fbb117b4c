"""The fuzz targets hold for their seeds and for what simple changes make of them.

``make fuzz`` goes on from here with atheris, which knows what it has reached.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec
from random import Random

import pytest

from tests.fuzz.run import NAMES, ROOT

ROUNDS = 300


def mutated(random: Random, seeds: tuple[bytes, ...]) -> bytes:
    data = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(data))
        match random.randint(0, 5):
            case 0:
                data[at:at] = random.choice(seeds)[: random.randint(0, 40)]
            case 1:
                del data[at : at + random.randint(1, 20)]
            case 2 if at < len(data):
                data[at] ^= 1 << random.randint(0, 7)
            case 3:
                data[at:at] = random.choice((b'"', b"\\", b"{", b"[", b"\0", b"\xff", b",", b":"))
            case 4:
                data[at:at] = data[: random.randint(0, 30)]
            case _:
                data[at:at] = random.randbytes(random.randint(1, 6))
    return bytes(data)


@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_their_neighbours_hold(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    for seed in target.SEEDS:
        target.one(seed)
    random = Random(name)  # noqa: S311  the same changes on every run
    for _ in range(ROUNDS):
        target.one(mutated(random, target.SEEDS))
    for data in (b"", b"\0", b"\xff" * 100, b"[" * 5_000, b"9" * 5_000, b'"' * 5_000):
        target.one(data)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_a_short_run_of_atheris_finds_nothing(name: str) -> None:
    command = [sys.executable, "tests/fuzz/run.py", name, "-runs=3000", "-seed=1"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
