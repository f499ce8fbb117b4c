"""Fuzzes one target with atheris: ``python tests/fuzz/run.py jwks -max_total_time=600``.

What comes after the target's name goes to libFuzzer. Without a name each target has a minute,
or what the options say. New inputs and crashes are kept in
``.fuzz/<target>``, which starts from the target's seeds; ``.fuzz/<target>.executed`` counts the
executions on this machine. ``--record`` adds those counts to the record of all machines,
``tests/fuzz/executions.json``, and begins to count anew.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "tests" / "fuzz" / "executions.json"
COUNTED = ".executed"
NAMES = sorted(path.stem for path in (ROOT / "tests/fuzz/targets").glob("[a-z]*.py"))


def main(arguments: list[str]) -> int:
    """Run until libFuzzer ends; it ends the process itself."""
    if arguments == ["--record"]:
        record(dt.datetime.now(dt.UTC).date())
        return 0
    if not arguments or arguments[0].startswith("-"):
        return _each(arguments or ["-max_total_time=60"])
    name, *options = arguments
    if name not in NAMES:
        sys.stderr.write(f"no target {name}; there are {', '.join(NAMES)}\n")
        return 2
    sys.path.insert(0, str(ROOT))
    atheris = importlib.import_module("atheris")  # untyped, and only here
    with atheris.instrument_imports(include=["extauthz"], enable_loader_override=False):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    corpus = ROOT / ".fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.SEEDS:
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    usual = ["-timeout=5", "-max_len=4096", "-rss_limit_mb=2048", f"-artifact_prefix={corpus}-"]
    one = _counted(target.one, corpus.with_suffix(COUNTED))
    atheris.Setup([sys.argv[0], *usual, *options, str(corpus)], one)
    atheris.Fuzz()
    return 0


def on_record() -> tuple[dict[str, int], str]:
    """Executions by target that are on record, and the day of the last entry."""
    document = json.loads(RECORD.read_text())
    return dict(document["executions"]), str(document["until"])


def unrecorded(folder: Path = ROOT / ".fuzz") -> Counter[str]:
    """Executions on this machine that are not on record yet."""
    files = folder.glob(f"*{COUNTED}")
    return Counter({file.stem: int(file.read_text()) for file in files})


def record(today: dt.date, folder: Path = ROOT / ".fuzz") -> None:
    """Put what was executed on this machine on record, once."""
    counts = Counter(on_record()[0]) + unrecorded(folder)
    document = {"executions": dict(sorted(counts.items())), "until": today.isoformat()}
    RECORD.write_text(json.dumps(document, indent=2) + "\n")
    for file in folder.glob(f"*{COUNTED}"):
        file.unlink()


def _each(options: list[str]) -> int:
    for name in NAMES:
        sys.stderr.write(f"== {name}\n")
        done = subprocess.run([sys.executable, __file__, name, *options], check=False)
        if done.returncode:
            return done.returncode
    return 0


def _counted(one: Callable[[bytes], None], file: Path) -> Callable[[bytes], None]:
    """``one``, whose executions are added to the number in ``file``, a thousand at a time."""
    executed = int(file.read_text()) if file.exists() else 0

    def counted(data: bytes) -> None:
        nonlocal executed
        executed += 1
        if executed % 1000 == 0:
            file.write_text(str(executed))
        one(data)

    return counted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
