"""Inventories to write for: by hand, and every odd one that is valid."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from extauthz.config.load import Loaded, load
from extauthz.config.problems import ConfigError

ISSUER = "https://idp.example.com/realms/acme"


def inventory(*servers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A whole configuration with these servers."""
    return {"version": 1, "issuers": [{"issuer": ISSUER}], "servers": list(servers), **changes}


def server(name: str = "calculator", **changes: Any) -> dict[str, Any]:
    """A server at ``https://mcp.example.com/<name>/mcp``."""
    return {
        "name": name,
        "resource": f"https://mcp.example.com/{name}/mcp",
        "match": {"hosts": ["mcp.example.com"], "paths": [f"/{name}"]},
        "upstream": "http://127.0.0.1:8001",
        **changes,
    }


def loaded(config: dict[str, Any]) -> Loaded:
    """The configuration as the commands load it."""
    files = {"extauthz.yaml": json.dumps(config).encode()}

    def read(path: str) -> bytes:
        if path not in files:
            raise FileNotFoundError(2, "No such file", path)
        return files[path]

    return load("extauthz.yaml", environ={}, read=read)


# Every character that a path may hold as it is, and some that it may hold escaped.
PATH_CHARS = "abzAZ09-._~!$&'()+,=:@|^\"<>`{}[]"
ESCAPES = ["%20", "%22", "%C3%A9", "%FF", "%7C", "%2B", "%60"]
NAME_CHARS = "abzAZ09._~:/[]@%+-"
HEADER_CHARS = "abz09-_"
ODD_HEADER_CHARS = HEADER_CHARS + "!#$%&'*+.^`|~"

segments = st.lists(st.sampled_from([*PATH_CHARS, *ESCAPES]), min_size=1, max_size=6).map("".join)
paths = st.lists(segments, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
labels = st.text("abz09-_", min_size=1, max_size=8).filter(lambda text: not text.startswith("-"))
host_names = st.lists(labels, min_size=1, max_size=4).map(".".join)
ports = st.integers(1, 65535)
hosts = st.one_of(
    host_names,
    host_names.map(lambda name: f"*.{name}"),
    st.just("*"),
    st.just("[::1]"),
    st.just("127.0.0.1"),
)
hosts_with_ports = st.one_of(hosts, st.tuples(hosts, ports).map(lambda p: f"{p[0]}:{p[1]}"))
names = st.text(NAME_CHARS, min_size=1, max_size=60).map(lambda text: "s" + text)
# Addresses only: nginx looks names up when it starts.
upstreams = st.sampled_from(
    [
        "http://127.0.0.1:8001",
        "http://[::1]:8001/",
        "https://127.0.0.1",
        "https://[::1]:8443",
        "http://10.0.0.7:8001",
        "https://10.0.0.7",
        "http://[fd00::7]",
        "https://[2001:db8::]:8443",
    ]
)
listens = st.sampled_from(
    ["127.0.0.1:8443", "0.0.0.0:8443", "[::1]:8443", 'unix:/tmp/a "b" \\c;{}.sock']
)


def header_names(chars: str) -> st.SearchStrategy[str]:
    return st.text(chars, min_size=1, max_size=30).map(lambda text: "x-" + text)


@st.composite
def odd_servers(draw: st.DrawFn, *, hosts: Any, headers: str) -> dict[str, Any]:
    chosen = draw(st.lists(paths, min_size=1, max_size=2, unique=True))
    config: dict[str, Any] = {
        "name": draw(names),
        "resource": f"https://{draw(host_names)}{draw(paths)}",
        "match": {
            "hosts": draw(st.lists(hosts, min_size=1, max_size=3, unique=True)),
            "paths": chosen,
        },
        "forward": {
            "headers": dict.fromkeys(
                draw(st.lists(header_names(headers), max_size=2, unique=True)), "email"
            ),
            "token": draw(st.sampled_from(["strip", "keep"])),
        },
        "mode": draw(st.sampled_from(["enforce", "audit"])),
        "public_paths": draw(
            st.lists(st.sampled_from([f"{chosen[0]}/*", f"{chosen[0]}/x", chosen[0]]), max_size=2)
        ),
    }
    if draw(st.booleans()):
        config["tools"] = {"add": "allow"}
    if draw(st.booleans()):
        config["upstream"] = draw(upstreams)
    return config


@st.composite
def odd_inventories(
    draw: st.DrawFn, *, with_ports: bool = True, headers: str = ODD_HEADER_CHARS
) -> Loaded:
    """Valid inventories, with every character wherever it is allowed.

    ``with_ports`` lets hosts name ports; ``headers`` are the characters of extra headers.
    """
    some_hosts = hosts_with_ports if with_ports else hosts
    several = st.lists(odd_servers(hosts=some_hosts, headers=headers), min_size=1, max_size=3)
    config = inventory(*draw(several), edge={"listen": draw(listens)})
    try:
        return loaded(config)
    except ConfigError:
        # Two of a kind, or a name that is somebody else's: not what is looked for here.
        return draw(st.nothing())
