"""A path has one meaning or none (contract, section 8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.core.paths import canonical_path, is_inside, split_target


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/calculator/mcp", "/calculator/mcp"),
        ("/calculator/mcp?x=1", "/calculator/mcp"),
        ("/a?b=/../c", "/a"),
        ("/a?b=//c#d", "/a"),
        ("/%61%2D%7e", "/a-~"),
        ("/a%20b", "/a%20b"),
        ("/a%c3%a9", "/a%c3%a9"),
        ("/%C2%A0", "/%C2%A0"),
        ("/%df%bf", "/%df%bf"),
        ("/%E0%A0%80", "/%E0%A0%80"),
        ("/%ed%9f%bf%ee%80%80", "/%ed%9f%bf%ee%80%80"),
        ("/%f0%90%80%80x%f4%8f%bf%bf", "/%f0%90%80%80x%f4%8f%bf%bf"),
        ("/%c3%a9%61%c3%A9", "/%c3%a9a%c3%A9"),
        ("/a%2Bb", "/a%2Bb"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a...b/..c/d..", "/a...b/..c/d.."),
        ("/a/", "/a/"),
        ("/A", "/A"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
    ],
)
def test_a_plain_path_is_taken_as_sent_but_for_escapes_of_unreserved_characters(target, path):
    assert canonical_path(target) == path


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "a",
        "http://h/a",
        "//a",
        "/a//b",
        "/a//",
        "/.",
        "/..",
        "/a/.",
        "/a/..",
        "/a/./b",
        "/a/../b",
        "/%2e%2e/a",
        "/%2E",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a;b",
        "/..;/a",
        "/a%3Bb",
        "/a#b",
        "/a%23b",
        "/a%3fb",
        "/a%25b",
        "/%252e",
        "/a%00b",
        "/a%0d%0ab",
        "/a%7fb",
        "/a%80b",
        "/a%ff",
        "/%c0%ae%c0%ae",
        "/%C0%AF",
        "/%c1%bf",
        "/%e0%80%ae",
        "/%e0%9f%bf",
        "/%f0%80%80%ae",
        "/%f0%8f%bf%bf",
        "/%f4%90%80%80",
        "/%ed%a0%80",
        "/%ed%bf%bf",
        "/%c3",
        "/%c3/%a9",
        "/%c3x%a9",
        "/%a9%c3",
        "/%c2%80",
        "/%C2%85",
        "/%c2%9F",
        "/%c3%a9%c2%9f",
        "/%c3%a9/%c2%9f",
        "/a\x00b",
        "/a\x1fb",
        "/a\x7fb",
        "/a b",
        "/a\tb",
        "/é",
        "/a％b",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a\n",
        "?a",
    ],
)
def test_a_path_that_servers_read_differently_is_refused(target):
    assert canonical_path(target) is None


@pytest.mark.parametrize("query", ["", "?x=1", "?" + "x" * 9_000])
def test_a_path_has_at_most_8192_characters_and_a_query_any_number(query):
    longest = "/" + "a" * 8191
    assert canonical_path(longest + query) == longest
    assert canonical_path(longest + "a" + query) is None


def test_the_query_begins_at_the_first_question_mark():
    assert split_target("/a?b=1?c=2") == ("/a", "b=1?c=2")
    assert split_target("/a") == ("/a", "")


@given(st.text(max_size=40))
def test_canonical_paths_are_stable_and_free_of_tricks(text):
    path = canonical_path("/" + text)
    if path is not None:
        assert canonical_path(path) == path
        assert not {"", ".", ".."} & set(path[1:].split("/")[:-1])
        assert path.isascii()


def test_a_prefix_ends_on_a_segment_border():
    assert is_inside("/alpha", "/alpha")
    assert is_inside("/alpha/x", "/alpha")
    assert not is_inside("/alphabet", "/alpha")
    # Of the same length, and with a border at the same place.
    assert not is_inside("/omega", "/alpha")
    assert not is_inside("/omega/x", "/alpha")
    assert is_inside("/anything", "")
