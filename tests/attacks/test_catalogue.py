"""Every attack of the catalogue has its test, and every promise in the threat model too."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.attacks.rows import ROWS

ROOT = Path(__file__).resolve().parents[2]
THREAT_MODEL = ROOT / "docs" / "threat-model.md"
LAST = 124

ELSEWHERE = {
    81: "tests/keys/test_refreshing.py::test_no_answer_without_a_usable_key_takes_good_keys_away",
    82: "tests/keys/test_fetch.py::test_any_other_status_is_no_answer_even_with_a_good_body",
    83: "tests/keys/test_schedule.py::test_max_age_shortens_the_refresh_within_bounds",
    84: "tests/attacks/test_provider_key_sets.py::test_84_ten_thousand_keys_are_refused_whole",
    85: "tests/keys/test_fetch_hostile.py::test_fifty_megabytes_stop_at_the_cap",
    86: "tests/keys/test_fetch_hostile.py::test_a_compressed_answer_is_refused_unopened",
    87: "tests/keys/test_fetch_hostile.py::test_a_trickle_ends_at_the_deadline",
    88: "tests/keys/test_fetch.py::test_another_origin_is_not_asked",
    89: "tests/keys/test_addresses.py::test_addresses_that_only_we_can_reach_are_told",
    90: "tests/keys/test_discovery.py::test_another_issuers_metadata_is_never_used",
    91: "tests/keys/test_fetch_tls.py::test_another_name_or_authority_is_not",
    92: "tests/keys/test_refreshing.py::test_a_withdrawn_key_is_gone_after_the_next_refresh",
    93: "tests/keys/test_unknown_kids.py::test_a_rotated_key_works_with_its_first_token",
    94: "tests/keys/test_unknown_kids.py::"
    "test_a_flood_of_made_up_ids_causes_one_fetch_per_cooldown_at_most",
    95: "tests/keys/test_refreshing.py::"
    "test_last_good_keys_serve_until_max_stale_and_not_a_second_longer",
    96: "tests/keys/test_refreshing.py::test_wall_clock_jumps_neither_stop_nor_storm",
    106: "tests/attacks/test_wire.py::test_106_no_claim_is_sent_in_a_header_that_proxies_read",
    114: "tests/attacks/test_wire.py::test_114_a_question_of_two_lengths_or_none_is_never_an_allow",
    115: "tests/attacks/test_wire.py::test_115_streams_begun_and_reset_harm_nobody_else",
    116: "tests/attacks/test_wire.py::"
    "test_116_whatever_a_check_holds_the_answer_is_no_allow_and_no_grpc_error_of_ours",
}


@cache
def _tests_in(file: str) -> frozenset[str]:
    text = (ROOT / file).read_text()
    return frozenset(re.findall(r"^\s*(?:async )?def (test_\w+)", text, re.MULTILINE))


def missing(reference: str) -> bool:
    file, _, name = reference.partition("::")
    if not (ROOT / file).exists():
        return True
    return bool(name) and name.rpartition("::")[2] not in _tests_in(file)


def test_no_attack_of_the_catalogue_is_left_out() -> None:
    numbers = {row.number for row in ROWS.values()} | ELSEWHERE.keys()
    assert sorted(numbers) == list(range(1, LAST + 1))


@pytest.mark.parametrize("number", ELSEWHERE)
def test_attacks_that_are_tried_elsewhere_are(number: int) -> None:
    assert not missing(ELSEWHERE[number]), ELSEWHERE[number]


def test_every_test_that_the_threat_model_names_exists() -> None:
    references = re.findall(r"`(tests/[\w/]+(?:\.py(?:::\w+)*)?)`", THREAT_MODEL.read_text())
    assert len(references) > 20
    assert [reference for reference in references if missing(reference)] == []


def test_every_answer_that_is_a_decision_of_ours_is_written_down() -> None:
    text = THREAT_MODEL.read_text()
    decisions = text[text.index("## Decisions") : text.index("## Not promised")]
    written = {int(number) for number in re.findall(r"^\| (\d+)", decisions, re.MULTILINE)}
    assert {row.number for row in ROWS.values() if row.policy} <= written
