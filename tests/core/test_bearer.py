"""Credentials: one bearer token in one header, or none (RFC 6750 section 2.1)."""

from dataclasses import replace

import pytest

from extauthz.core.bearer import bearer_token, usual_bearer
from extauthz.core.model import Reason, Request
from tests.policies import asking


def _judge(value, *, target="/", repeated=()):
    headers = {} if value is None else {"authorization": value}
    request = Request(
        method="POST", host="h", target=target, headers=headers, repeated=frozenset(repeated)
    )
    token = bearer_token(request)
    return token if isinstance(token, str) else token.reason


@pytest.mark.requirement("R15")
@pytest.mark.parametrize(
    "value", ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c", "Bearer  a.b.c"]
)
def test_the_scheme_has_no_case_and_may_be_followed_by_several_spaces(value):
    assert _judge(value) == "a.b.c"


@pytest.mark.requirement("R15")
@pytest.mark.parametrize("token", ["a", "a=", "a.b~c+d/e-f_9==", "ZzAa09", "XaX"])
def test_a_token_is_of_the_68_characters_with_equal_signs_at_its_end(token):
    assert _judge(f"Bearer {token}") == token
    assert _judge(f"Bearer {token} ") == token


@pytest.mark.requirement("R15")
@pytest.mark.parametrize("token", ["a=b", "=", "a\x0b", "\ta", "a\u00a0", "a*", "a:b"])
def test_any_other_character_makes_it_none(token):
    assert _judge(f"Bearer {token}") is Reason.MALFORMED_TOKEN


@pytest.mark.requirement("M8", "R15", "R20")
@pytest.mark.parametrize(
    "value",
    [None, "", "Bearer", "Bearer ", "Bearer   ", "Basic dXNlcjpwYXNz", "Token a.b.c", "JWT a.b.c",
     "DPoP a.b.c", "a.b.c", 'Digest username="u", realm="r"'],
)  # fmt: skip
def test_no_bearer_credential_is_a_missing_token(value):
    assert _judge(value) is Reason.MISSING_TOKEN


@pytest.mark.requirement("R15")
@pytest.mark.parametrize(
    "value",
    ["Bearer\ta.b.c", "Bearer\u00a0a.b.c", "Bearer\u3000a", "Bearer\x85a", "Bearer a b",
     "Bearer a.b.c x", "Bearer <a.b.c>", 'Bearer "a"', "Bearer a\x00b", "Bearer a!b", "Bearer aé",
     "Bearer:a", "Bearer\x0ba", "Bearer =a"],
)  # fmt: skip
def test_what_cannot_be_a_token_is_a_malformed_token(value):
    assert _judge(value) is Reason.MALFORMED_TOKEN


@pytest.mark.requirement("M12", "R14")
@pytest.mark.parametrize(
    "value",
    ["Bearer a,Bearer b", "Bearer a, Bearer b", "Bearer a,b", "Bearer ,", "Basic x,Bearer a",
     "Basic x, bearer a"],
)  # fmt: skip
def test_two_credentials_are_a_malformed_request(value):
    assert _judge(value) is Reason.MALFORMED_REQUEST


@pytest.mark.requirement("M12", "R14")
def test_two_authorization_lines_are_a_malformed_request():
    assert _judge("Bearer a", repeated=["authorization"]) is Reason.MALFORMED_REQUEST


@pytest.mark.requirement("M11", "R14", "R16", "R43")
def test_a_token_in_the_query_is_never_used():
    assert _judge(None, target="/?access_token=a.b.c") is Reason.MISSING_TOKEN
    assert _judge("Bearer a", target="/?x=1&access_token=b") is Reason.MALFORMED_REQUEST
    assert _judge("Bearer a", target="/?access_token=b?c") is Reason.MALFORMED_REQUEST
    for other in ("my_access_token=b", "access_token", "Access_token=b", "x=?access_token=b"):
        assert _judge("Bearer a", target=f"/?{other}") == "a"
    assert _judge("Bearer a", target="/x&access_token=b?y") == "a"


@pytest.mark.parametrize(
    "name",
    ["access%5Ftoken", "access%5ftoken", "%61ccess_token", "acces%73_toke%6E",
     "".join(f"%{ord(letter):02X}" for letter in "access_token")],
)  # fmt: skip
def test_a_token_in_the_query_is_one_however_its_name_is_written(name):
    for query in (f"{name}=b", f"x=1&{name}=b"):
        target = f"/?{query}"
        assert _judge("Bearer a", target=target) is Reason.MALFORMED_REQUEST
        assert usual_bearer(asking("a", target=target)) is None
    for other in (f"{name}%3Db", f"x{name}=b", f"{name}", f"%25{name[1:]}=b", f"x={name}"):
        assert _judge("Bearer a", target=f"/?{other}") == "a"
        assert usual_bearer(asking("a", target=f"/?{other}")) == "a"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer "])
def test_a_usual_bearer_is_found_at_a_glance(scheme):
    assert usual_bearer(asking(headers={"authorization": f"{scheme}abc.def"})) == "abc.def"


@pytest.mark.parametrize(
    "request_",
    [
        asking(),
        asking(headers={"authorization": "Basic  abc"}),
        asking(headers={"authorization": "Bearer:abc"}),
        replace(
            asking(headers={"authorization": "Bearer abc"}), repeated=frozenset({"authorization"})
        ),
        asking(headers={"authorization": "Bearer abc"}, target="/notes/mcp?access_token=x"),
    ],
    ids=["none", "another scheme", "no blank", "two lines", "one in the query"],
)
def test_what_is_odd_is_never_usual(request_):
    """What is looked up at a glance must be what a careful look would find."""
    assert usual_bearer(request_) is None
