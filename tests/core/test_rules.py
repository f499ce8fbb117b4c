"""Rules: the most literal key wins, an unlisted tool is denied (contract, section 2, Rules)."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.core.claims import (
    MISSING,
    ClaimCondition,
    claim_at,
    claim_name,
    claim_path,
    granted_scopes,
    scope_elements,
)
from extauthz.core.rules import Glob, Rule, RuleMap, globs_overlap


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "", True),
        ("*", "a/b", True),
        ("a*", "a", True),
        ("a*", "ba", False),
        ("*a", "ba", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "acb", False),
        ("file:///*", "file:///x/y", True),
        ("a.c", "abc", False),
        ("a?c", "abc", False),
        ("[a]", "a", False),
        ("*ab*ab*", "abab", True),
        ("*ab*ab*", "aab", False),
        ("a*b", "ac", False),
        ("a*b", "abc", False),
        ("a*bc*c", "abc", False),
        ("a*bc*c", "abcc", True),
        ("a*b*b*", "aab", False),
        ("a*b*b*", "aabb", True),
        ("*ab*ba", "xaba", False),
        ("*ab*ba", "xabba", True),
    ],
)
def test_a_star_matches_any_run_and_nothing_else_is_special(pattern, name, matches):
    assert Glob.parse(pattern).matches(name) is matches


_words = st.text(alphabet="ab*", max_size=6)


@given(_words, _words, st.text(alphabet="ab", max_size=8))
def test_two_patterns_that_match_one_name_overlap(one, other, name):
    if Glob.parse(one).matches(name) and Glob.parse(other).matches(name):
        assert globs_overlap(one, other)


def test_patterns_that_share_no_name_do_not_overlap():
    assert not globs_overlap("get_*", "set_*")
    assert globs_overlap("a*", "*b")


def test_patterns_overlap_exactly_when_a_name_matches_both():
    # Two patterns that share a name share one no longer than both together.
    patterns = ["".join(word) for size in range(4) for word in product("ab*", repeat=size)]
    names = ["".join(word) for size in range(7) for word in product("ab", repeat=size)]
    matched = {}
    for pattern in patterns:
        expression = re.compile(pattern.replace("*", ".*"))
        matched[pattern] = {name for name in names if expression.fullmatch(name)}
    for one, other in product(patterns, repeat=2):
        shared = not matched[one].isdisjoint(matched[other])
        assert globs_overlap(one, other) is shared, (one, other)


@pytest.mark.requirement("M26")
def test_an_unlisted_name_is_denied_in_tools_and_free_in_methods():
    rule = Rule(key="add")
    assert RuleMap({"add": rule}).find("add") is rule
    assert RuleMap({"add": rule}).find("other").deny
    assert RuleMap({"add": rule}, deny_others=False).find("other") is None
    assert RuleMap().find("anything") is None


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (("a", ["x"]), True),
        (("a", ["y"]), False),
        (("list", ["p"]), True),
        (("list", ["z", "q"]), True),
        (("list", ["z"]), False),
        (("n", [1]), True),
        (("n", [True]), False),
        (("t", [True]), True),
        (("t", [1]), False),
        (("/deep/roles", ["admin"]), True),
        (("/deep/roles/0", ["user"]), True),
        (("/deep/none", ["admin"]), False),
        (("absent", ["x"]), False),
        (("null", ["x"]), False),
        (("/a~1b/c~0d", ["ok"]), True),
        (("deep/roles", ["admin"]), False),
    ],
)
def test_a_condition_holds_for_an_equal_value_or_a_member(condition, holds):
    claims = {
        "a": "x",
        "list": ["p", "q"],
        "n": 1,
        "t": True,
        "null": None,
        "deep": {"roles": ["user", "admin"]},
        "a/b": {"c~d": "ok"},
    }
    name, values = condition
    assert ClaimCondition(name, claim_path(name), tuple(values)).holds(claims) is holds


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ([1], [1], True),
        ([1], [2], False),
        ([1], [1, 1], False),
        ([1], [True], False),
        (["x", 0], ["x", False], False),
    ],
)
def test_conditions_are_equal_where_they_hold_for_the_same_values(one, other, equal):
    of = [ClaimCondition("n", ("n",), tuple(values)) for values in (one, other)]
    assert (of[0] == of[1]) is equal
    assert not equal or hash(of[0]) == hash(of[1])
    for name, path in (("n", "m"), ("m", "n")):
        assert of[0] != ClaimCondition(name, (path,), tuple(one))
    assert of[0] != "n"


@pytest.mark.parametrize("name", ["", "/a~2", "/a~", "/~~01", "/~~10", "/a/~"])
def test_a_bad_claim_name_is_an_error(name):
    with pytest.raises(ValueError, match=r"claim name|JSON Pointer"):
        claim_path(name)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("a",), "a"),
        (("a/b~c",), "a/b~c"),
        (("https://example.com/roles",), "https://example.com/roles"),
        (("/a",), "/~1a"),
        (("a", "b"), "/a/b"),
        (("a/b", "c~d"), "/a~1b/c~0d"),
        (("~1", "0"), "/~01/0"),
        (("/a", "b"), "/~1a/b"),
    ],
)
def test_a_claim_has_a_pointer_for_a_name_only_where_it_must(path, name):
    assert claim_name(path) == name
    assert claim_path(name) == path


@pytest.mark.requirement("R24")
def test_scopes_are_read_at_the_end_of_a_pointer_and_split_at_spaces_only():
    claims = {"realm": {"roles": ["a"]}, "scope": "b\tc d"}
    assert scope_elements(claims, [("realm", "roles"), ("scope",)]) == ("a", "b\tc", "d")
    assert scope_elements(claims, [("realm",), ("realm", "none")]) == ()


@pytest.mark.requirement("R24")
def test_scopes_are_the_union_of_all_scope_claims():
    claims = {"scope": "a  b", "scp": ["b", "c", 7, None, ""], "roles": {"x": 1}}
    paths = [("scope",), ("scp",), ("roles",)]
    assert scope_elements(claims, paths) == ("a", "b", "c")


@pytest.mark.requirement("R24")
def test_an_element_with_a_space_grants_nothing():
    assert granted_scopes(["a b", "c"], {"c": frozenset({"d"})}) == {"c", "d"}


def test_a_claim_deep_in_the_wrong_shape_is_absent():
    assert repr(claim_at({"a": 1}, ("a", "b"))) == "absent"
    assert repr(claim_at({"a": [1]}, ("a", "01"))) == "absent"
    assert repr(claim_at({"a": [1]}, ("a", "9"))) == "absent"


@pytest.mark.parametrize(
    ("index", "found"),
    [("0", "x"), ("1", "y"), ("2", None), ("01", None), ("00", None), ("-1", None), ("", None),
     ("-", None), ("a", None), ("1.0", None), ("\N{SUPERSCRIPT ONE}", None),
     ("\N{ARABIC-INDIC DIGIT ONE}", None), ("9" * 5000, None)],
)  # fmt: skip
def test_an_element_of_an_array_is_named_by_its_plain_number_only(index, found):
    value = claim_at({"a": ["x", "y"]}, ("a", index))
    assert (None if value is MISSING else value) == found


@pytest.mark.parametrize("value", ["xyz", 12, True, 1.5])
def test_a_scalar_has_no_elements(value):
    assert claim_at({"a": value}, ("a", "0")) is MISSING
