"""Compile ``proto/*.proto`` into ``extauthz/_pb``, or check that this was done.

``python proto/generate.py`` writes; ``python proto/generate.py --check`` writes nothing and
exits 1 when a generated file is missing, differs in any byte, or should not be there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "proto"
PACKAGE = "extauthz/_pb"
INIT = b'"""Generated from ``proto/`` by ``make proto``: not edited, used by adapters only."""\n'


def generate() -> dict[str, bytes]:
    """What ``extauthz/_pb`` must hold: contents by file name.

    Raises RuntimeError when the compiler refuses a file (it has then said why on stderr).
    """
    well_known = resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [
            "protoc",
            # The files are compiled under the name of the Python package they end up in. That
            # name is also the one in protobuf's process-wide registry, where it must be unique.
            f"--proto_path={PACKAGE}={SOURCES}",
            f"--proto_path={well_known}",
            f"--python_out={scratch}",
            f"--pyi_out={scratch}",
            *(f"{PACKAGE}/{source.name}" for source in sorted(SOURCES.glob("*.proto"))),
        ]
        if protoc.main(arguments) != 0:
            raise RuntimeError(f"protoc refused a file in {SOURCES}; its message is above")
        return {"__init__.py": INIT, **contents(Path(scratch) / PACKAGE)}


def contents(folder: Path) -> dict[str, bytes]:
    """The files directly in ``folder`` by name; empty when there is no such folder."""
    if not folder.is_dir():
        return {}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def differences(found: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    """One line for each file of the two that is not in both with the same bytes."""
    return [
        *(f"{name}: missing" for name in sorted(wanted.keys() - found.keys())),
        *(f"{name}: comes from no file in proto/" for name in sorted(found.keys() - wanted.keys())),
        *(
            f"{name}: differs from what proto/ gives"
            for name in sorted(wanted.keys() & found.keys())
            if wanted[name] != found[name]
        ),
    ]


def main(argv: list[str] | None = None) -> int:
    """Generate, or with ``--check`` compare. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when stale")
    check = parser.parse_args(argv).check
    target = ROOT / PACKAGE
    found, wanted = contents(target), generate()
    if not check:
        target.mkdir(parents=True, exist_ok=True)
        for name in found.keys() - wanted.keys():
            (target / name).unlink()
        for name, content in wanted.items():
            (target / name).write_bytes(content)
        return 0
    problems = differences(found, wanted)
    for problem in problems:
        sys.stderr.write(f"{PACKAGE}/{problem}\n")
    if problems:
        sys.stderr.write("The generated code is stale: run `make proto` and commit the result.\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
