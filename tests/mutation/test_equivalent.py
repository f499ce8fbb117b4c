"""The list of mutants that change nothing speaks of code that is still there, with reasons."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "extauthz"
LISTED = tomllib.loads((HERE / "equivalent.toml").read_text()).get("mutant", [])


def test_each_is_of_code_as_it_is_and_says_why_it_changes_nothing():
    sources = {
        file: " ".join((PACKAGE / file).read_text().split())
        for file in {one["file"] for one in LISTED}
    }
    for one in LISTED:
        assert one.keys() == {"file", "function", "was", "now", "why"}, one
        assert " ".join(one["was"].split()) in sources[one["file"]], one
        assert len(one["why"]) > 20, one


def test_none_is_listed_twice():
    names = [(one["file"], one["function"], one["was"], one["now"]) for one in LISTED]
    assert len(set(names)) == len(names)


def test_the_results_add_up():
    results = json.loads((HERE / "results.json").read_text())
    modules = results["modules"].values()
    left = [one["mutants"] - one["killed"] - one["equivalent"] for one in modules]
    assert min(left) >= 0
    assert sum(left) == results["survivors"]
