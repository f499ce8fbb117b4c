"""Fuzzes one target with atheris: ``python tests/fuzz/run.py jwks -max_total_time=60``.

What comes after the target's name goes to libFuzzer. New inputs and crashes are kept in
``.fuzz/<target>``, which starts from the target's seeds.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "tests/fuzz/targets").glob("[a-z]*.py"))


def main(arguments: list[str]) -> int:
    """Run until libFuzzer ends; it ends the process itself."""
    if not arguments or arguments[0] not in NAMES:
        sys.stderr.write(f"which target? one of {', '.join(NAMES)}\n")
        return 2
    name, *options = arguments
    sys.path.insert(0, str(ROOT))
    atheris = importlib.import_module("atheris")  # untyped, and only here
    with atheris.instrument_imports(include=["extauthz"], enable_loader_override=False):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    corpus = ROOT / ".fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.SEEDS:
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    usual = ["-timeout=5", "-max_len=4096", "-rss_limit_mb=2048", f"-artifact_prefix={corpus}-"]
    atheris.Setup([sys.argv[0], *usual, *options, str(corpus)], target.one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
