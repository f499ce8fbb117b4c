"""A compact JWS taken apart: one spelling, one header, one JSON object, or a reason why not."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.core import compact
from extauthz.core.compact import Parts, take_apart
from extauthz.core.model import Reason, Refusal
from tests.tokens import ABSENT, b64, mint

LIMIT = 16 * 1024
HEADER = mint().partition(".")[0]
ENCRYPTED = b64(b'{"alg":"dir","enc":"A256GCM"}')
_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def parsed(text: str) -> Parts:
    parts = take_apart(text, LIMIT)
    assert isinstance(parts, Parts), parts
    return parts


def refused(text: str) -> Reason:
    refusal = take_apart(text, LIMIT)
    assert isinstance(refusal, Refusal)
    return refusal.reason


@pytest.mark.requirement("R55")
def test_the_size_limit_counts_the_whole_text():
    text = mint()
    assert isinstance(take_apart(text, len(text)), Parts)
    longer = take_apart(text, len(text) - 1)
    assert longer == Refusal(Reason.TOKEN_TOO_LARGE, "longer than tokens.max_bytes")


def test_what_counts_of_the_header_is_kept_and_an_absent_typ_reads_jwt():
    header = parsed(mint(header={"typ": ABSENT, "kid": ABSENT})).header
    assert (header.algorithm, header.kid, header.token_type) == ("ES256", None, "JWT")


@pytest.mark.requirement("R26", "R48", "R54")
@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("e30.e30.", Reason.MALFORMED_TOKEN, "alg"),
        ("a.e30.", Reason.MALFORMED_TOKEN, "not base64url"),
        ("a.b.c.d.e", Reason.MALFORMED_TOKEN, "JWE"),
        ("a..c.d.e", Reason.MALFORMED_TOKEN, "JWE"),
        (f"{ENCRYPTED}..c.d.e", Reason.MALFORMED_TOKEN, "JWE"),
        ("0123456789abcdef", Reason.MALFORMED_TOKEN, "opaque"),
        ("ya29.b", Reason.MALFORMED_TOKEN, "opaque"),
        ("a.b.c.d", Reason.MALFORMED_TOKEN, "three"),
        (f"{HEADER}.e30.e30.c", Reason.MALFORMED_TOKEN, "three"),
        (".e30.c", Reason.MALFORMED_TOKEN, "three"),
        (f"{HEADER}..c", Reason.MALFORMED_TOKEN, "three"),
        ("a.b.c\n", Reason.MALFORMED_TOKEN, "three"),
        ("a.b.c", Reason.MALFORMED_TOKEN, "not base64url"),
    ],
)
def test_a_text_of_another_form_is_told_apart(text, reason, detail):
    refusal = take_apart(text, LIMIT)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert detail in refusal.detail


@pytest.mark.parametrize(
    ("algorithm", "reason", "detail"),
    [
        ("RS256", Reason.MALFORMED_TOKEN, "signature is missing"),
        ("EdDSA", Reason.MALFORMED_TOKEN, "signature is missing"),
        ("none", Reason.UNSUPPORTED_ALGORITHM, "not one that is verified"),
        ("HS256", Reason.UNSUPPORTED_ALGORITHM, "shared secret"),
    ],
)
@pytest.mark.parametrize("claims", ["e30", ""])
def test_without_a_signature_the_algorithm_says_whether_there_should_be_one(
    algorithm, reason, detail, claims
):
    header = b64(b'{"alg":"' + algorithm.encode() + b'"}')
    refusal = take_apart(f"{header}.{claims}.", LIMIT)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert detail in refusal.detail


@pytest.mark.requirement("R51")
def test_a_kid_of_1024_characters_is_taken_and_one_more_is_not():
    assert parsed(mint(header={"kid": "k" * 1024})).header.kid == "k" * 1024
    refusal = take_apart(mint(header={"kid": "k" * 1025}), LIMIT)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.MALFORMED_TOKEN
    assert parsed(mint(header={"kid": "k"})).header.kid == "k"
    assert refused(mint(header={"kid": ""})) is Reason.MALFORMED_TOKEN


@pytest.mark.parametrize("part", [b"[]", b"null", b"1", b'"{}"', b"{}{}", b"{", b"\xff"])
def test_header_and_claims_are_each_one_json_object(part):
    assert refused(mint(part)) is Reason.MALFORMED_TOKEN
    assert refused(mint(header=part)) is Reason.MALFORMED_TOKEN


@pytest.mark.requirement("R22", "R46")
@pytest.mark.parametrize(
    ("algorithm", "detail"),
    [
        ("none", "not one that is verified"),
        ("RS1", "not one that is verified"),
        ("es256", "not one that is verified"),
        ("HS256", "shared secret"),
    ],
)
def test_an_algorithm_that_no_issuer_may_use_is_refused_whoever_issued(algorithm, detail):
    refusal = take_apart(mint(header={"alg": algorithm}), LIMIT)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNSUPPORTED_ALGORITHM
    assert detail in refusal.detail


def test_a_typ_is_text():
    assert refused(mint(header={"typ": 7})) is Reason.WRONG_TOKEN_TYPE
    assert refused(mint(header={"typ": None})) is Reason.WRONG_TOKEN_TYPE


@pytest.mark.requirement("R54")
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_character_outside_base64url_is_not_passed_over(at):
    parts = mint().split(".")
    for odd in "+/=! \n\u00e9":
        # Four of them, so that the length stays one that base64 can have.
        part = parts[at][:8] + odd * 4 + parts[at][8:]
        assert refused(".".join((*parts[:at], part, *parts[at + 1 :]))) is Reason.MALFORMED_TOKEN


@pytest.mark.requirement("R54")
@pytest.mark.parametrize("length", [4, 16, 32, 64, 256, 344])
def test_nor_is_it_anywhere_in_a_part_of_any_length(length):
    """Decoders take many characters at a time, and what is left over one by one."""
    part = b64(bytes(range(256)) * 2)[:length]
    assert isinstance(take_apart(f"{HEADER}.e30.{part}", LIMIT), Parts)
    octets = {*map(chr, range(256))} - {*_BASE64URL, "."}
    for at in range(length):
        for odd in octets:
            text = f"{HEADER}.e30.{part[:at]}{odd}{part[at + 1 :]}"
            assert isinstance(take_apart(text, LIMIT), Refusal)


@pytest.mark.requirement("R54")
@given(st.text(_BASE64URL + "+/= \n", min_size=1, max_size=400) | st.binary(min_size=1).map(b64))
def test_a_part_is_read_if_the_standard_library_would_have_written_it(part):
    taken = take_apart(f"{HEADER}.e30.{part}", LIMIT)
    octets = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) if sound(part) else None
    if octets is None or b64(octets) != part:
        assert isinstance(taken, Refusal)
    else:
        assert isinstance(taken, Parts)
        assert taken.signature == octets


def sound(part: str) -> bool:
    return set(part) <= set(_BASE64URL) and len(part) % 4 != 1


@pytest.mark.requirement("R54")
@pytest.mark.parametrize(
    ("character", "octets", "spelt", "otherwise"),
    [("~", b"\xfb\xef\xbe", "-", "+"), ("?", b"\xff\xff\xff", "_", "/")],
)
def test_what_is_spelt_in_the_other_alphabet_is_not_taken_for_the_same(
    character, octets, spelt, otherwise
):
    """Each part holds but one of the four characters in which the alphabets differ."""
    claims, signature = b64(f'{{"a":"{character * 3}"}}'.encode()), b64(octets)
    for part in (claims, signature):
        assert {*part} & {*"-_"} == {spelt}
    assert isinstance(take_apart(f"{HEADER}.{claims}.AAAA", LIMIT), Parts)
    assert refused(f"{HEADER}.{claims.replace(spelt, otherwise)}.AAAA") is Reason.MALFORMED_TOKEN
    assert isinstance(take_apart(f"{HEADER}.e30.{signature}", LIMIT), Parts)
    assert refused(f"{HEADER}.e30.{otherwise * 4}") is Reason.MALFORMED_TOKEN


@pytest.mark.requirement("R54")
@pytest.mark.parametrize("padded", ["QQ==", "QUE=", "QQ=Q", "=QQQ", "Q===", "QQQQ====", "Q=Q="])
def test_padding_is_refused_wherever_it_stands(padded):
    assert refused(f"{HEADER}.e30.{padded}") is Reason.MALFORMED_TOKEN
    assert refused(f"{HEADER}.{padded}.AAAA") is Reason.MALFORMED_TOKEN


@pytest.mark.requirement("R54")
def test_bits_to_spare_are_zero_so_that_a_part_has_one_spelling():
    """RFC 4648 section 3.5: 16 octets leave four bits over, 17 leave two, 18 none."""
    head = mint().rpartition(".")[0]
    for octets, spellings in ((16, "AQgw"), (17, "AEIMQUYcgkosw048"), (18, _BASE64URL)):
        text = f"{head}.{b64(bytes(octets))}"
        found = {last: take_apart(text[:-1] + last, LIMIT) for last in _BASE64URL}
        taken = {last for last, one in found.items() if isinstance(one, Parts)}
        assert taken == set(spellings)
    assert refused(f"{head}.{b64(bytes(15))}A") is Reason.MALFORMED_TOKEN


def test_headers_that_are_remembered_are_bounded():
    compact._HEADERS.clear()
    for number in range(1100):
        take_apart(mint(header={"kid": f"k{number}"}, sign=lambda _: b"x"), LIMIT)
        assert len(compact._HEADERS) <= 1024
    long = mint(header={"kid": "k" * 600})
    take_apart(long, LIMIT)
    assert long.partition(".")[0] not in compact._HEADERS


def test_a_header_is_read_once_if_it_is_no_longer_than_usual():
    compact._HEADERS.clear()
    for kid, length, once in (("k" * 345, 512, True), ("k" * 346, 514, False)):
        text, other = mint(header={"kid": kid}), mint(header={"kid": "other"})
        assert len(text.partition(".")[0]) == length
        header = parsed(text).header
        parsed(other)
        assert (parsed(text).header is header) is once
