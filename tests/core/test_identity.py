"""Identity headers: exact to undo, absent when absent, never confusable (contract, section 5)."""

import base64
import json
import re
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import unquote
from weakref import WeakSet

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extauthz.core import identity
from extauthz.core.identity import Lookalikes, header_names, identity_headers, server_header
from extauthz.core.model import Reason, Refusal
from extauthz.core.policy import IDENTITY_HEADERS, Encoding, ForwardedClaim, Issuer, Server
from extauthz.core.verified import TokenFacts

CONTRACT = Path(__file__).parents[2] / "docs/contract.md"
ISSUER = Issuer(
    name="i", issuer="https://i", accepted=frozenset({"https://i"}), advertised="https://i"
)


def _headers(claims=None, *, forwarded=(), **facts):
    values: dict[str, Any] = {
        "issuer_value": "https://i",
        "expires": 2000.9,
        "not_before": None,
        "issued_at": None,
        "audiences": ("judged by",),
        "aud": ("a",),
        "scopes": (),
        "subject": None,
        "client_id": None,
        "token_id": None,
        "tenant": None,
    }
    server = Server(
        name="s", resource=None, hosts=(), paths=(), issuers=(ISSUER,), audiences=None,
        forwarded=tuple(forwarded),
    )  # fmt: skip
    built = identity_headers(
        TokenFacts(issuer=ISSUER, claims=claims or {}, **(values | facts)), server
    )
    return built if isinstance(built, Refusal) else dict(built)


def _extra(value, encoding=Encoding.TEXT):
    claim = ForwardedClaim("x-extra", ("c",), encoding)
    built = _headers({"c": value}, forwarded=[claim])
    return built if isinstance(built, Refusal) else built.get("x-extra")


def test_the_headers_are_those_of_the_contract():
    section = (
        CONTRACT.read_text().split("\n## 5. Identity headers\n")[1].split("\nExtra headers")[0]
    )
    assert tuple(re.findall(r"`(x-auth-[a-z-]+)`", section)) == IDENTITY_HEADERS


@pytest.mark.requirement("R28")
def test_absent_claims_send_nothing():
    assert _headers() == {
        "x-auth-issuer": "https://i",
        "x-auth-audience": "a",
        "x-auth-expires-at": "2000",
        "x-auth-server": "s",
    }


@pytest.mark.requirement("R28", "R45")
def test_every_claim_has_its_header():
    headers = _headers(
        subject="u", client_id="c", scopes=("x", "y"), aud=("a", "b"), token_id="j",
        issued_at=1.5,
    )  # fmt: skip
    assert tuple(headers) == IDENTITY_HEADERS
    assert headers["x-auth-scopes"] == "x y"
    assert headers["x-auth-audience"] == "a b"
    assert headers["x-auth-issued-at"] == "1"


@pytest.mark.requirement("R28")
def test_one_claim_that_needs_care_leaves_the_others_as_they_are():
    assert _headers(
        subject="é", client_id="c", scopes=("x", "y"), aud=("a", "b d"), token_id="j",
        issued_at=1.5,
    ) == {
        "x-auth-subject": "%C3%A9",
        "x-auth-issuer": "https://i",
        "x-auth-client-id": "c",
        "x-auth-scopes": "x y",
        "x-auth-audience": "a b%20d",
        "x-auth-token-id": "j",
        "x-auth-issued-at": "1",
        "x-auth-expires-at": "2000",
        "x-auth-server": "s",
    }  # fmt: skip


def test_a_public_path_carries_the_name_of_the_server_and_nothing_else():
    assert server_header(_BARE) == (("x-auth-server", "s"),)


def test_a_token_for_any_audience_may_have_none():
    assert "x-auth-audience" not in _headers(aud=())
    assert "x-auth-audience" not in _headers(aud=(), subject="é")


@pytest.mark.parametrize(
    ("elements", "text"),
    [
        (("a b",), "a%20b"),
        (("a b", "c"), "a%20b c"),
        (("c", "a b"), "c a%20b"),
        (("a b c",), "a%20b%20c"),
        (("a b c d e",), "a%20b%20c%20d%20e"),
        ((" a",), "%20a"),
        (("a ",), "a%20"),
        (("", "a"), "%20a"),
        (("a", ""), "a%20"),
    ],
)
def test_in_an_element_a_space_is_encoded_and_no_value_begins_or_ends_with_one(elements, text):
    assert _headers(scopes=elements)["x-auth-scopes"] == text
    assert _headers(aud=elements)["x-auth-audience"] == text
    assert _headers(aud=elements, scopes=("x", "y"))["x-auth-audience"] == text
    assert _headers(scopes=elements, aud=("x", "y"))["x-auth-scopes"] == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("a b", "a b"),
        (" a ", "%20a%20"),
        ("100%", "100%25"),
        ("%41", "%2541"),
        ("é", "%C3%A9"),
        ("a,b", "a,b"),
        (["a", "b"], "a,b"),
        (["a,b", "c"], "a%2Cb,c"),
        (["a", None, "b"], "a,b"),
        ([1, True, 2.5], "1,true,2.5"),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        (None, None),
        ("", None),
        ([], None),
        ({"a": 1}, None),
        ([{"a": 1}], None),
        (["a", {"b": 1}], None),
        (["a", ["b"]], None),
        ("   ", "%20%20%20"),
        ("  a", "%20%20a"),
        ("a   ", "a%20%20%20"),
        ("X", "X"),
        ("XaX", "XaX"),
        (" XaX ", "%20XaX%20"),
        ("é ", "%C3%A9%20"),
    ],
)
def test_text_encoding(value, text):
    assert _extra(value) == text


def test_json_encodings_carry_objects_in_ascii():
    value = {"a": ["é", 1, None]}
    assert _extra(value, Encoding.JSON) == '{"a":["\\u00e9",1,null]}'
    assert json.loads(base64.b64decode(_extra(value, Encoding.BASE64JSON))) == value


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\t", "\x1f", "\x7f", "\x85", "\x9f"])
@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_control_character_refuses_the_token(character, encoding):
    for value in (f"a{character}b", [f"a{character}b"]):
        assert _extra(value, encoding).reason is Reason.MALFORMED_TOKEN
    for nested in ({f"a{character}b": 1}, {"a": f"b{character}"}, [{"a": [f"b{character}"]}]):
        assert _extra(nested, Encoding.JSON).reason is Reason.MALFORMED_TOKEN
    assert _headers(subject=f"a{character}").reason is Reason.MALFORMED_TOKEN
    assert _headers(subject=f"a{character * 2}").reason is Reason.MALFORMED_TOKEN
    assert _headers(scopes=(f"a{character}",)).reason is Reason.MALFORMED_TOKEN


_printable = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)


@given(_printable)
def test_unquoting_gives_the_subject_back_exactly(subject):
    value = _headers(subject=subject)["x-auth-subject"]
    assert value.isascii()
    assert value.strip() == value
    assert unquote(value) == subject


@given(st.lists(_printable, min_size=1, max_size=5))
def test_splitting_then_unquoting_gives_arrays_back_exactly(elements):
    assert [unquote(part) for part in _extra(elements).split(",")] == elements
    scopes = _headers(scopes=tuple(elements))["x-auth-scopes"]
    assert [unquote(part) for part in scopes.split(" ")] == elements


_odd = st.text(st.sampled_from('a1:/ %"\\\n\x7f\u00e9'), max_size=4)
_lists = st.lists(_odd, max_size=3).map(tuple)


@given(_odd, _odd, _lists, _lists)
@example("", "", ("a", ""), ())
@example("a ", "", ("b", ""), ("a",))
@example("", "", ("a b",), ("", "c"))
@example("", "", ("a b",), ())
@example("", "", (), ("a b",))
@example('"', "\\", ("a",), ("a", "b"))
def test_one_look_at_all_claims_is_as_good_as_a_look_at_each(subject, client_id, scopes, audiences):
    def headers() -> Any:
        return _headers(subject=subject, client_id=client_id, scopes=scopes, aud=audiences)

    at_a_glance = headers()
    with mock.patch.object(identity, "_usual_values", return_value=None):
        assert at_a_glance == headers()


def test_sixteen_kibibytes_are_enough_and_one_byte_more_is_not():
    used = sum(len(name) + len(value) for name, value in _headers(subject="x").items()) - 1
    room = 16 * 1024 - used
    assert len(_headers(subject="x" * room)["x-auth-subject"]) == room
    assert _headers(subject="x" * (room + 1)).reason is Reason.DENIED_BY_RULE


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(
    ("name", "looks_alike"),
    [
        ("x_auth_subject", True),
        ("x.auth.subject", True),
        ("x-auth_subject", True),
        ("x-auth-anything", True),
        ("x_auth_anything", True),
        ("x~user~email", True),
        ("x_user_email", True),
        ("x-auth", False),
        ("x-authsubject", False),
        ("authorization", False),
        ("x-user", False),
        ("my-x-auth-subject", False),
    ],
)
def test_a_lookalike_equals_a_name_after_folding_or_has_its_prefix(name, looks_alike):
    server = Server(
        name="s", resource=None, hosts=(), paths=(), issuers=(), audiences=None,
        forwarded=(ForwardedClaim("x-user-email", ("email",)),),
    )  # fmt: skip
    lookalikes = Lookalikes(header_names(server))
    for _ in range(2):  # what it remembers must not change what it says
        assert lookalikes.among({name: ""}) == ((name,) if looks_alike else ())


_BARE = Server(name="s", resource=None, hosts=(), paths=(), issuers=(), audiences=None)


def test_exact_names_are_overwritten_or_removed_anyway():
    lookalikes = Lookalikes(header_names(_BARE))
    for known in range(600):  # what it remembers, and forgets, must not change what it says
        assert lookalikes.among({f"x-{known}": ""}) == ()
        assert lookalikes.among(dict.fromkeys(IDENTITY_HEADERS, "")) == ()
    assert lookalikes.among({"x-1": "", "x_auth_subject": ""}) == ("x_auth_subject",)


class _Name(str):
    """A header name of which it can be told whether anything still holds it."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize(
    ("requests", "each", "length"), [(2000, 1, 60), (3, 3000, 60), (100, 1, 10_000)]
)
def test_a_caller_of_odd_header_names_fills_no_memory(requests, each, length):
    lookalikes = Lookalikes(header_names(_BARE))
    held: WeakSet[_Name] = WeakSet()
    names: list[_Name] = []
    for number in range(requests):
        names[:] = [_Name(f"y{number * each + at}".ljust(length, "z")) for at in range(each)]
        held.update(names)
        assert lookalikes.among(dict.fromkeys(names, "")) == ()
    names.clear()
    assert sum(map(len, held)) < 64 * 1024
