"""Which server a host and path belong to (contract, section 2, Matching)."""

from dataclasses import replace

import pytest

from extauthz.core import routing
from extauthz.core.hosts import may_be_in_dns, parse_host_pattern, resource_host, split_host
from extauthz.core.matching import ServerIndex, patterns_of
from extauthz.core.model import Answer, Reason, Refusal, Request, Trace
from extauthz.core.policy import HostPattern, Server
from extauthz.core.routing import Route, Router


def _server(name, hosts, paths):
    return Server(
        name=name,
        resource=None,
        hosts=tuple(map(parse_host_pattern, hosts)),
        paths=tuple(paths),
        issuers=(),
        audiences=frozenset(),
    )


@pytest.mark.requirement("M16")
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("mcp.example.com", ("mcp.example.com", None)),
        ("MCP.Example.COM.", ("mcp.example.com", None)),
        ("mcp.example.com:443", ("mcp.example.com", 443)),
        ("mcp.example.com.:443", ("mcp.example.com", 443)),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("[::1]", 8080)),
        ("[::1]", ("[::1]", None)),
        ("under_score.example", ("under_score.example", None)),
        ("a:1", ("a", 1)),
        ("a:65535", ("a", 65535)),
    ],
)
def test_a_host_is_read_in_one_canonical_form(text, parts):
    assert split_host(text) == parts


@pytest.mark.parametrize(
    "text",
    ["", ".", "a,b", "a b", "user@a", "a/b", "a:b", "a:99999", "a:0", "a:-1", "a..b", "é.example",
     "a%2eb", "::1", "*", "*.example.com", "a\n", "a:", "a" * 254, "https://a", "a:65536",
     "a:065535", "[::1]x", "[::1]:0"],
)  # fmt: skip
def test_what_is_not_one_host_is_refused(text):
    assert split_host(text) is None


@pytest.mark.parametrize(
    ("host", "may_be"),
    [
        ("evil.example", True),
        ("localhost.example", True),
        ("mylocalhost.example.com", True),
        ("127.0.0.1.example", True),
        ("1.2.3.4.5", True),
        ("localhost", False),
        ("app.localhost", False),
        ("extauthz", False),
        ("127.0.0.1", False),
        ("192.0.2.7", False),
        ("[::1]", False),
        ("[::ffff:127.0.0.1]", False),
    ],
)
def test_who_may_own_a_host_is_told_by_its_name(host, may_be):
    assert may_be_in_dns(host) is may_be


def test_a_letter_whose_lower_case_is_an_ascii_letter_does_not_stand_for_it():
    kelvin = "\N{KELVIN SIGN}"
    assert kelvin.lower() == "k"
    assert split_host(f"{kelvin}eys.example") is None
    assert split_host("Keys.example") == ("keys.example", None)


def test_a_name_is_at_most_253_characters_long_without_its_final_dot():
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(longest) == 253
    assert split_host(longest) == (longest, None)
    assert split_host(longest + ".") == (longest, None)
    assert split_host(longest + "d") is None


def test_an_exact_host_beats_a_wildcard_and_a_longer_path_a_shorter():
    index = ServerIndex(
        [
            _server("any", ["*"], [""]),
            _server("wide", ["*.example.com"], ["/a"]),
            _server("wider", ["*.com"], ["/a/b/c"]),
            _server("exact", ["x.example.com"], ["/a"]),
            _server("deep", ["x.example.com"], ["/a/b"]),
        ]
    )

    def find(host, path):
        found = index.find(host, None, path)
        return found and found.name

    assert find("x.example.com", "/a") == "exact"
    assert find("x.example.com", "/a/b/c") == "deep"
    assert find("x.example.com", "/ab") == "any"
    assert find("y.example.com", "/a/b/c") == "wide"
    assert find("y.z.com", "/a/b/c") == "wider"
    assert find("example.com", "/a/b/c") == "wider"
    assert find("com", "/a/b/c") == "any"


def test_no_match_is_no_server():
    index = ServerIndex([_server("one", ["a.example"], ["/x"])])
    assert index.find("a.example", None, "/") is None
    assert index.find("b.example", None, "/x") is None
    assert index.find("a.example", None, "/xy") is None
    assert index.find("a.example", None, "/x/").name == "one"


def test_the_port_counts_only_where_it_is_named():
    index = ServerIndex([_server("named", ["a:81"], [""]), _server("other", ["b"], [""])])
    assert index.find("a", 81, "/").name == "named"
    assert index.find("a", 82, "/") is None
    assert index.find("a", None, "/") is None
    assert index.find("b", 4711, "/").name == "other"


def test_a_host_reaches_the_servers_of_its_own_port_and_of_every_port_each_once():
    index = ServerIndex(
        [
            _server("named", ["a:81"], ["/x", "/y"]),
            _server("other", ["a:82"], [""]),
            _server("any", ["a", "*"], [""]),
        ]
    )

    def names(host, port):
        return [server.name for server in index.on_host(host, port)]

    assert names("a", 81) == ["named", "any"]
    assert names("a", 82) == ["other", "any"]
    assert names("a", None) == ["any"]
    assert names("b", 81) == ["any"]


@pytest.mark.parametrize(
    ("pattern", "host", "port", "found"),
    [
        ("a", "a", None, True),
        ("a", "a", 81, True),
        ("a", "b", None, False),
        ("a:81", "a", 81, True),
        ("a:81", "a", 82, False),
        ("a:81", "a", None, False),
        ("a:81", "b", 81, False),
        ("*.example.com", "x.example.com", 81, True),
        ("*.example.com", "example.com", None, False),
        ("*", "b", 81, True),
    ],
)
def test_a_server_is_found_where_host_and_named_port_match(pattern, host, port, found):
    server = ServerIndex([_server("s", [pattern], [""])]).find(host, port, "/")
    assert (server is not None) is found


def test_the_port_of_a_resource_counts_on_loopback_only():
    assert resource_host("https://h.example:8443/mcp") == HostPattern("h.example", None)
    assert resource_host("http://127.0.0.1:8443/mcp") == HostPattern("127.0.0.1", 8443)
    assert resource_host("http://localhost/mcp") == HostPattern("localhost", None)


@pytest.mark.parametrize("url", ["https://", "https:///mcp", "mcp", "https://u@h.example/mcp"])
def test_a_resource_without_a_usable_host_is_an_error(url):
    with pytest.raises(ValueError, match="expected an absolute URL"):
        resource_host(url)


@pytest.mark.parametrize("text", ["", "*.", "a*", "*a", "a.*", "**", "http://a", "a,b"])
def test_a_bad_host_pattern_is_an_error(text):
    with pytest.raises(ValueError, match="expected a host"):
        parse_host_pattern(text)


def test_a_host_matches_a_wildcard_at_each_of_its_dots():
    expected = ["a.b.c.d", "*.b.c.d", "*.c.d", "*.d", "*"]
    assert list(patterns_of("a.b.c.d")) == expected


def _asked(host="a.example", target="/", server=None, method="GET"):
    return Request(method=method, host=host, target=target, headers={}, server=server)


def _led(router, *asked):
    """The name of the server that a request is led to, or why it is refused."""
    found = router.find(_asked(*asked))
    return found.reason if isinstance(found, Refusal) else found.gate.server.name


class TestNamedByTheProxy:
    """One more check, never a way around (contract, section 4)."""

    servers = (
        _server("one", ["a.example", "b.example:81"], ["/x", "/z"]),
        _server("other", ["*"], [""]),
    )

    @pytest.mark.parametrize(
        ("host", "target", "name"),
        [
            ("a.example", "/x", "one"),
            ("a.example", "/z/y", "one"),
            ("b.example:81", "/x", "one"),
            ("a.example", "/", "other"),
            ("b.example:82", "/x", "other"),
        ],
    )
    def test_where_it_would_be_found_it_is_the_server(self, host, target, name):
        assert _led(Router(self.servers), host, target, name) == name

    @pytest.mark.parametrize(
        ("host", "target", "name"),
        [
            ("a.example", "/", "one"),
            ("a.example", "/xy", "one"),
            ("c.example", "/x", "one"),
            ("b.example", "/x", "one"),
            ("b.example:82", "/x", "one"),
            ("a.example", "/x", "other"),
            ("b.example:81", "/x", "other"),
            ("a.example", "/x", "nobody"),
            ("a.example", "/x", ""),
        ],
    )
    def test_where_another_one_would_be_found_the_request_is_refused(self, host, target, name):
        router = Router(self.servers)
        assert _led(router, host, target) in ("one", "other")
        assert _led(router, host, target, name) is Reason.NO_MATCHING_SERVER


class TestPort:
    def test_it_leads_to_the_server_that_names_it(self):
        router = Router((_server("any", ["a"], [""]), _server("named", ["a:81"], [""])))
        assert [_led(router, host) for host in ("a:81", "a:82", "a")] == ["named", "any", "any"]

    def test_a_named_port_counts_before_the_length_of_the_path(self):
        """As section 11 of the contract says of hosts."""
        servers = (_server("port", ["a:81"], ["/x"]), _server("path", ["a"], ["/x/y", "/z"]))
        router = Router(servers)
        assert _led(router, "a:81", "/x/y/z") == "port"
        assert _led(router, "a", "/x/y/z") == "path"
        assert _led(router, "a:81", "/z") == "path"

    def test_metadata_of_a_resource_on_loopback_is_found_by_its_port(self):
        resource = "http://127.0.0.1:8443/mcp"
        router = Router((replace(_server("one", ["a"], ["/mcp"]), resource=resource),))
        target = "/.well-known/oauth-protected-resource/mcp"
        for host, status in (("127.0.0.1:8443", 200), ("127.0.0.1:8444", 404)):
            answer = router.find(_asked(host, target))
            assert isinstance(answer, Answer)
            assert answer.status == status


class TestRemembered:
    servers = (_server("one", ["a.example"], [""]), _server("two", ["b.example"], [""]))

    def test_a_way_is_found_once(self):
        router = Router(self.servers)
        assert router.find(_asked()) is router.find(_asked(method="POST"))

    def test_it_counts_for_the_same_host_path_and_name_alone(self):
        router = Router(self.servers)
        for _ in range(2):
            assert _led(router, "a.example", "/") == "one"
            assert _led(router, "b.example", "/") == "two"
            assert _led(router, "b.example", "/", "two") == "two"
            assert _led(router, "b.example", "/", "one") is Reason.NO_MATCHING_SERVER
            assert _led(router, "b.example", "//") is Reason.AMBIGUOUS_PATH

    def test_a_request_without_a_method_has_none(self):
        router = Router(self.servers)
        router.find(_asked())
        found = router.find(_asked(method=""))
        assert isinstance(found, Refusal)
        assert found.reason is Reason.MALFORMED_REQUEST

    def test_explained_it_is_found_anew(self):
        router, trace = Router(self.servers), Trace()
        router.find(_asked())
        assert isinstance(router.find(_asked(), trace), Route)
        assert [step.check for step in trace.steps] == ["path", "server"]

    def test_long_ones_are_not_kept(self, monkeypatch):
        monkeypatch.setattr(routing, "_MAX_LENGTH", len("a.example" + "/12345"))
        router = Router(self.servers)
        just, more = _asked(target="/12345"), _asked(target="/123456")
        assert router.find(just) is router.find(just)
        assert router.find(more) is not router.find(more)

    @pytest.mark.parametrize("varied", ["target", "host", "server"])
    def test_they_are_bounded(self, monkeypatch, varied):
        monkeypatch.setattr(routing, "_MAX_REMEMBERED", 3)
        names = [f"s{n}" for n in range(8)]
        router = Router(tuple(_server(name, ["*"], [f"/{name}"]) for name in names))
        ways = {
            "target": [_asked(target=f"/s0/{n}") for n in range(8)],
            "host": [_asked(host=f"{n}.example", target="/s0") for n in range(8)],
            "server": [_asked(target=f"/{name}", server=name) for name in names],
        }[varied]
        found = [router.find(one) for one in ways[:3]]
        assert all(router.find(one) is way for one, way in zip(ways[:3], found, strict=True))
        for one in ways:
            assert isinstance(router.find(one), Route)
            assert sum(map(len, router._ways.values())) <= 3
            assert len(router._ways) <= 3
