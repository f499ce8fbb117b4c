"""Which server a host and path belong to (contract, section 2, Matching)."""

import pytest

from extauthz.core.hosts import parse_host_pattern, resource_host, split_host
from extauthz.core.matching import ServerIndex, lies_inside, patterns_of
from extauthz.core.policy import HostPattern, Server


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
    server = index.named("named")
    assert server is not None
    assert lies_inside(server, "a", 81)
    assert not lies_inside(server, "a", 80)


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
    ("pattern", "host", "port", "inside"),
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
def test_a_host_lies_inside_a_server_where_name_and_named_port_match(pattern, host, port, inside):
    assert lies_inside(_server("s", [pattern], [""]), host, port) is inside


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
