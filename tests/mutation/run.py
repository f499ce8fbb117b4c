"""Mutation testing of the code that decides: ``python tests/mutation/run.py core/engine.py``.

Without a name every file is tried. What was killed is remembered in ``.mutants`` and not tried
again until its file changes; ``--fresh`` forgets it. ``--quick`` spares the few that need every
test loaded anew, and counts them as survivors. Survivors that change no decision are
listed, each with its reason, in ``equivalent.toml``; any other survivor is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.mutation.mutants import Mutant, mutants_of  # noqa: E402  after the path is set
from tests.mutation.trial import PACKAGE, run_trials  # noqa: E402

FILES = (
    "core/engine.py",
    "core/gate.py",
    "core/paths.py",
    "core/bearer.py",
    "core/token.py",
    "core/compact.py",
    "core/rules.py",
    "core/routing.py",
    "core/matching.py",
    "core/hosts.py",
    "core/claims.py",
    "core/strict_json.py",
    "core/identity.py",
    "core/token_cache.py",
    "core/calls.py",
    "core/uris.py",
    "core/keyset.py",
    "core/jwk.py",
    "core/challenge.py",
    "core/documents.py",
    "authorizer.py",
    "adapters/check_words.py",
    "adapters/envoy.py",
    "adapters/forward_auth.py",
    "adapters/grpc_http2.py",
    "adapters/head_words.py",
    "adapters/http2_answers.py",
    "adapters/http2_connection.py",
    "adapters/http2_frames.py",
    "adapters/http2_headers.py",
    "adapters/http2_reader.py",
    "adapters/recurring.py",
    "adapters/trust.py",
    "telemetry/recurring_lines.py",
)
# Where to speak to; pytest takes the usual one away.
_TERMINAL = os.dup(2)
RESULTS = HERE / "results.json"
MEMORY = ROOT / ".mutants"
Name = tuple[str, str, str, str]


os.environ.setdefault("EXTAUTHZ_EXAMPLES", "25")


def main(arguments: list[str]) -> int:
    """Try the files named, write the results, and say which mutants survived."""
    fresh = "--fresh" in arguments
    files = [name for name in arguments if not name.startswith("-")] or list(FILES)
    if unknown := set(files) - set(FILES):
        sys.stderr.write(
            f"no such file: {', '.join(sorted(unknown))}; there are {', '.join(FILES)}\n"
        )
        return 2
    equivalent, memory = reasons(), _Memory(fresh)
    survivors: list[Mutant] = []

    def tell(mutant: Mutant, killed: bool) -> None:
        memory.note(mutant, killed)
        if not killed:
            survivors.append(mutant)
            _say(_shown(mutant))

    def batches() -> Iterator[list[Mutant]]:
        for file in files:
            began = time.monotonic()
            found = mutants_of(PACKAGE / file, file)
            same = sum(mutant.name in equivalent for mutant in found)
            due = [one for one in found if one.name not in equivalent and not memory.killed(one)]
            _say(f"{file}: {len(found)} mutants, {len(due)} to be tried")
            before = len(survivors)
            yield due
            left = len(survivors) - before
            _write(
                file,
                {"mutants": len(found), "killed": len(found) - same - left, "equivalent": same},
            )
            _say(f"{file}: {left} survivors, in {time.monotonic() - began:.0f} s")

    if status := run_trials(batches(), MEMORY / "reach", tell, _say, quick="--quick" in arguments):
        return status
    return 1 if survivors else 0


def reasons() -> dict[Name, str]:
    """Why each mutant of ``equivalent.toml`` changes no decision."""
    listed = tomllib.loads((HERE / "equivalent.toml").read_text()).get("mutant", [])
    return {(one["file"], one["function"], one["was"], one["now"]): one["why"] for one in listed}


class _Memory:
    """What earlier runs have killed, by file, change and the whole mutated source."""

    def __init__(self, fresh: bool) -> None:
        MEMORY.mkdir(exist_ok=True)
        self._path = MEMORY / "killed"
        if fresh:
            self._path.unlink(missing_ok=True)
            (MEMORY / "reach").unlink(missing_ok=True)
        self._killed = set(self._path.read_text().split()) if self._path.exists() else set()

    def killed(self, mutant: Mutant) -> bool:
        return self._digest(mutant) in self._killed

    def note(self, mutant: Mutant, killed: bool) -> None:
        if killed:
            with self._path.open("a") as file:
                file.write(self._digest(mutant) + "\n")
        else:
            with (MEMORY / "survivors.jsonl").open("a") as file:
                file.write(json.dumps([*mutant.name, mutant.lines.start]) + "\n")

    @staticmethod
    def _digest(mutant: Mutant) -> str:
        return hashlib.sha256(f"{mutant.file}\n{mutant.source}".encode()).hexdigest()


def _write(file: str, counts: dict[str, int]) -> None:
    modules = json.loads(RESULTS.read_text())["modules"] if RESULTS.exists() else {}
    modules[file] = counts
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "modules": {name: modules[name] for name in FILES if name in modules},
        "survivors": sum(
            one["mutants"] - one["killed"] - one["equivalent"] for one in modules.values()
        ),
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def _shown(mutant: Mutant) -> str:
    return (
        f"survived: extauthz/{mutant.file}:{mutant.lines.start} {mutant.function}\n"
        f"    was {mutant.was}\n    now {mutant.now}"
    )


def _say(text: str) -> None:
    with suppress(BrokenPipeError):
        os.write(_TERMINAL, f"{text}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
