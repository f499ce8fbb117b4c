"""A rule for a resource holds however a client spells a URI that a server reads as another."""

import pytest

from extauthz.core.engine import Engine
from extauthz.core.model import Allow, Deny, Reason
from extauthz.core.rules import Glob, Rule, RuleMap
from extauthz.core.uris import UriRules
from tests.policies import asking, key_sets, policy_with
from tests.tokens import CALCULATOR, NOW, mint


def _rules(**keys):
    made = {key: Rule(key=key, deny=deny) for key, deny in keys.items()}
    globs = sorted((key for key in made if "*" in key), key=lambda key: -Glob.parse(key).literals)
    return RuleMap(
        {key: rule for key, rule in made.items() if "*" not in key},
        tuple((Glob.parse(key), made[key]) for key in globs),
    )


def _refused(uri, **keys):
    rules = _rules(**keys)
    rule = rules.find(uri)
    return (rule is not None and rule.deny) or UriRules(rules).refusal(uri) is not None


DENIED = {"file:///secret/*": True, "notes://secret/*": True, "http://a.example/x": True}
SPELLINGS = [
    "FILE:///secret/x",
    "file:///public/../secret/x",
    "file:///public/%2e%2E/secret/x",
    "file:///public/..%2Fsecret/x",
    "file:///./secret/x",
    "file:///%73ecret/x",
    "file:///%2573ecret/x",
    "file:///%25252525252573ecret/x",
    "file:/secret/x",
    "file:secret/x",
    "file:////secret/x",
    "file://localhost/secret/x",
    "file://LOCALHOST//secret/x",
    "file:///secret\\x",
    "file:\\\\\\secret\\x",
    " file:///secret/x",
    "\x01file:///secret/x",
    "fi\tle:///secret/x",
    "file:///sec\nret/x",
    "file:///sec%0aret/x",
    "NOTES://secret/x",
    "notes://%73ecret/x",
    "notes://public/../secret/x",
    "notes://public%2F..%2Fsecret/x",
    "notes://secret%2Fx",
    "HTTP://a.example/x",
    "http://A.example/x",
    "http:/a.example/x",
    "http://u@a.example/x",
    "http://a.example:80/x",
    "http://a.example:/x",
    "http://a.example:080/x",
    "notes://@secret/x",
    "notes://:@secret/x",
    "notes://secret:/x",
    "http://a.example/x?y",
    "http://a.example/x#y",
    "http://a.example/x%3Fy",
    "http://\uff41.example/x",
    "http://127.1/x",
    "http://0x7f.0.0.1/x",
]


@pytest.mark.parametrize("uri", SPELLINGS)
def test_what_is_denied_is_so_however_it_is_spelled(uri):
    assert _refused(uri, **DENIED, **{"*": False})


@pytest.mark.parametrize(
    "uri",
    [
        "file:///public/../secret/x",
        "file:///public/%2e%2e/secret/x",
        "file:///public/a\\..\\..\\secret/x",
        "file:///public%2F..%2Fsecret/x",
        "file:///public/%3f/../../secret/x",
        "file:///public/?/../../secret/x",
        "file:///public/%23/../../secret/x",
        "file:///public/..?x",
        "file:///public/..#x",
    ],
)
def test_what_is_allowed_is_no_way_to_anything_else(uri):
    assert _refused(uri, **{"file:///public/*": False})
    assert _refused(uri, **{"file:///public*": False})


def test_what_a_template_matches_without_its_query_is_judged_without_it():
    assert _refused("notes://secret/x?/public", **{"notes://*/public": False})
    assert _refused("notes://secret/x#/public", **{"notes://*/public": False})
    assert not _refused("notes://a?q=1", **{"notes://a?q=*": False, "notes://a": True})


@pytest.mark.parametrize(
    ("scheme", "port"),
    [("http", 80), ("https", 443), ("ws", 80), ("wss", 443), ("ftp", 21)],
)
def test_a_scheme_of_the_url_standard_has_its_port_and_any_number_of_slashes(scheme, port):
    keys = {f"{scheme}://a.example/x": True, "*": False}
    for uri in (
        f"{scheme}://a.example:{port}/x",
        f"{scheme}:/a.example/x",
        f"{scheme}:a.example/x",
    ):
        assert _refused(uri, **keys)
    assert not _refused(f"{scheme}://a.example:{port + 1}/x", **keys)


@pytest.mark.parametrize("uri", ["https://a.example", "https://a.example?", "HTTPS://a.example/"])
def test_no_path_is_the_root(uri):
    assert _refused(uri, **{"https://a.example/": True, "*": False})


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.1./x",
        "http://127.1:8080/x",
        "http://a.example/x?\x01",
        "http://a.example/x?\\y",
        "http://a.example/x?y=%2525252541",
        "http://a.example/%25252541",
    ],
)
def test_what_is_a_guess_is_refused_whatever_the_rules_allow(uri):
    assert _refused(uri, **{"*": False})


def test_three_decodings_are_looked_through():
    assert not _refused("file:///public/%252541", **{"file:///public/*": False})


@pytest.mark.parametrize(
    "key", ["file:///%25252525252541", "notes://@x", "notes://@x*", "notes://%25252525252541*"]
)
def test_a_key_that_no_clear_uri_has_refuses_its_own(key):
    assert _refused(key, **{key: False, "*": False})


@pytest.mark.parametrize(
    ("allowed", "denied"),
    [
        ("repo:a", "repo://a"),
        ("http://Xa.example/x", "http://a.example/x"),
        ("file://localhost/Xa", "file:///a"),
        ("urn:isbn:0", "urn:isbn"),
        ("urn:x:", "urn:x"),
        ("notes:///a:", "notes:///a"),
    ],
)
def test_what_no_server_takes_for_one_another_is_told_apart(allowed, denied):
    assert not _refused(allowed, **{allowed: False, denied: True})
    assert _refused(denied, **{allowed: False, denied: True})


@pytest.mark.parametrize(
    "uri",
    [
        "file:///public/x",
        "file:///public/a%20b.txt",
        "file:///public/a b.txt",
        "file:///public/..hidden/.git/a...b",
        "file:///public/x?version=2",
        "file:///public/x#L10",
        "file:///public/%E2%82%AC",
        "file:///public/\u20ac",
        "notes://Public/a%2Fb",
        "https://a.example",
        "https://a.example:8443/x?url=http://b.example/y&regex=%5Cd%0A&in=../y",
        "https://10.0.0.1/x",
        "repo:public",
        "public",
        "Mixed://x",
    ],
)
def test_what_clients_send_is_allowed(uri):
    keys = ("file:///public/*", "notes://Public/*", "https://*", "repo:public", "public")
    assert not _refused(uri, **dict.fromkeys((*keys, "Mixed://x"), False))


@pytest.mark.parametrize(
    "key", ["file:///a%20b", "file:///a%2520b", "file:///%e2%82%ac", "FILE:///x", "http://H"]
)
def test_a_key_in_any_spelling_matches_its_own(key):
    assert not _refused(key, **{key: False})


def test_a_star_that_a_key_escapes_matches_no_other_character():
    assert not _refused("file:///a%2Ab", **{"file:///a%2Ab": False})
    assert _refused("file:///axb", **{"file:///a%2ab": False})


def test_a_uri_has_at_most_so_many_characters():
    longest = "file:///".ljust(8000, "a")
    assert not _refused(longest, **{"*": False})
    assert _refused(longest + "a", **{"*": False})
    assert UriRules(_rules()).refusal(longest + "a") is None


def test_without_rules_for_resources_nothing_is_asked():
    assert UriRules(_rules()).refusal("file:///public/../secret/x") is None


@pytest.mark.parametrize("method", ["resources/read", "resources/subscribe"])
def test_the_engine_refuses_it_and_says_why(method):
    rules = {"file:///secret/*": "deny", "*": "allow"}
    engine = Engine(policy_with("calculator", resources=rules))
    token = mint({"aud": CALCULATOR, "scope": "calculator"})

    def decide(uri):
        said = {"is_mcp_request": True, "method": method, "params": {"uri": uri}}
        return engine.decide(
            asking(token, target="/calculator/mcp", mcp_metadata=said), key_sets(), now=NOW
        )

    assert isinstance(decide("file:///public/x"), Allow)
    for uri in ("FILE:///secret/x", "file:///public/../secret/x"):
        answer = decide(uri)
        assert isinstance(answer, Deny)
        assert answer.reason is Reason.MALFORMED_REQUEST
        assert answer.detail.startswith("params.uri")
