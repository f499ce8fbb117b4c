"""Requests as an attacker would make them: good ones, bent in every place."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from extauthz.core.model import Request
from tests.policies import MODERN, ORIGIN
from tests.tokens import ABSENT, CALCULATOR, NOTES, NOW, b64, mint, signer

# What tests of parsers find interesting, besides what Hypothesis finds by itself.
ODD_TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "\0", "\r\nx: y", "%2e%2e", "é", "\ud800", "a,b", " ", "\t", "x" * 2_000, "K"]
    ),
)

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), ODD_TEXT,
        st.sampled_from([10**400, -(10**400), 10**18, 0, -1]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(ODD_TEXT, inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip

_TIMES = st.one_of(
    st.integers(int(NOW) - 100, int(NOW) + 100),
    st.floats(NOW - 100, NOW + 100),
    JSON,
)
_CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "iss": JSON, "aud": st.one_of(st.just(CALCULATOR), st.just([NOTES, "x"]), JSON),
        "exp": _TIMES, "nbf": _TIMES, "iat": _TIMES,
        "sub": JSON, "jti": JSON, "client_id": JSON, "azp": JSON, "cnf": JSON, "tid": JSON,
        "scope": st.one_of(st.just("notes calculator"), JSON), "scp": JSON,
        "email": JSON, "groups": JSON,
    },
)  # fmt: skip
_HEADER = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.one_of(st.sampled_from(["none", "HS256", "RS256", "ES384"]), JSON),
        "kid": st.one_of(st.sampled_from(["rs256", "x", ABSENT]), JSON),
        "typ": st.one_of(st.sampled_from(["JWT", "logout+jwt", ABSENT]), JSON),
        "crit": JSON, "jwk": JSON, "cty": JSON, "b64": JSON,
    },
)  # fmt: skip
_SIGNERS = st.sampled_from(
    [signer(), signer("RS256"), signer("EdDSA"), signer("ES256", "stranger")]
)


def _minted(claims: dict[str, object], header: dict[str, object], key: Any) -> str:
    return mint(claims, header=header, key=key)


GENUINE = st.builds(_minted, _CLAIMS, _HEADER, _SIGNERS)
"""Tokens whose signature is made over whatever they say; one signer is nobody's."""


@st.composite
def bent(draw: st.DrawFn) -> str:
    """A genuine token with some of its text changed."""
    text = draw(GENUINE)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        kind = draw(st.sampled_from(["cut", "insert", "replace", "swap"]))
        if kind == "cut":
            text = text[:at] + text[at + draw(st.integers(1, 30)) :]
        elif kind == "insert":
            text = (
                text[:at] + draw(st.sampled_from([".", "=", "A", "-", " ", "~", "é"])) + text[at:]
            )
        elif kind == "replace":
            text = text[:at] + draw(st.sampled_from("ABab01-_.")) + text[at + 1 :]
        else:
            parts = text.split(".")
            parts.reverse()
            text = ".".join(parts)
    return text


RAW = st.builds(
    lambda header, payload, sign: f"{b64(header)}.{b64(payload)}.{b64(sign)}",
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.binary(max_size=70),
)
TOKENS = st.one_of(GENUINE, bent(), RAW, ODD_TEXT)

_HEADER_NAMES = st.one_of(
    st.sampled_from(
        ["origin", "mcp-method", "mcp-name", "mcp-protocol-version", "accept", "x-auth-subject",
         "x_auth_subject", "x-auth-anything", "x-user-email", "x_user_email", "connection",
         "access-control-request-method", "access-control-request-headers", "cookie"]
    ),
    st.from_regex(r"[a-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True),
    st.builds(
        lambda parts, by: by.join(parts),
        st.lists(st.sampled_from(["x", "auth", "subject", "server", "user", "email"]), min_size=2),
        st.sampled_from(["-", "_", ".", "~"]),
    ),
)  # fmt: skip
_HEADER_VALUES = st.one_of(
    st.sampled_from([ORIGIN, "https://evil.example", "POST", "tools/call", "add", MODERN, "null"]),
    ODD_TEXT.map(lambda text: text.strip(" \t")),
)
_GOOD_TARGETS = [
    "/notes/mcp", "/notes/mcp?x=1", "/calculator/mcp", "/audited/mcp", "/notes/public/x",
]  # fmt: skip
_TARGETS = st.one_of(
    st.sampled_from(
        ["/notes/health", "/", "/.well-known/oauth-protected-resource/notes/mcp", "/token", "*", ""]
    ),
    st.builds(
        lambda parts: "/" + "/".join(parts),
        st.lists(
            st.sampled_from(
                ["notes", "public", "mcp", "calculator", "audited", "..", ".", "", "%2e%2e",
                 "%70ublic", ";", "%2f", "x", "#", "?", "é", "%", "\\"]
            ),
            max_size=6,
        ),
    ),
    ODD_TEXT,
)  # fmt: skip
_HOSTS = st.one_of(
    st.just("mcp.example.com"),
    st.sampled_from(
        ["MCP.example.com.", "mcp.example.com:443", "other.example", "a,b", "", "[::1]"]
    ),
    ODD_TEXT,
)
_METHODS = st.one_of(
    st.sampled_from(["POST", "GET", "OPTIONS", "HEAD", "DELETE", "post", "TRACE", ""]), ODD_TEXT
)
_CALLS = st.fixed_dictionaries(
    {"method": st.one_of(st.sampled_from(["tools/call", "tools/list", "initialize"]), JSON)},
    optional={"params": st.one_of(st.fixed_dictionaries({"name": JSON}), JSON), "id": JSON},
)
_BODIES = st.one_of(
    st.none(), st.binary(max_size=80), _CALLS.map(lambda value: json.dumps(value).encode())
)


GOOD = st.sampled_from(
    [
        mint(),
        mint({"email": "a@example.com", "groups": ["a"]}),
        mint({"sub": ABSENT, "jti": ABSENT, "client_id": ABSENT}, key=signer("RS256")),
        mint({"aud": [NOTES, CALCULATOR], "scope": "notes calculator calculator.add"}),
        mint({"aud": "https://mcp.example.com/audited/mcp", "scope": "audited"}),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request at all, most of them good but for one place or two."""

    def mostly(good: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> Any:
        return draw(odd if draw(st.integers(0, 9)) == 9 else good)

    headers = draw(st.dictionaries(_HEADER_NAMES, _HEADER_VALUES, max_size=3))
    scheme = mostly(st.just("Bearer "), st.sampled_from(["bearer  ", "Basic ", "", None]))
    if scheme is not None:
        headers["authorization"] = (scheme + mostly(GOOD, TOKENS)).strip(" \t")
    names = st.tuples(st.sampled_from(sorted(headers) or ["x"]))
    no = st.just(False)
    return Request(
        method=mostly(st.sampled_from(["POST", "GET"]), _METHODS),
        host=mostly(st.just("mcp.example.com"), _HOSTS),
        target=mostly(st.sampled_from(_GOOD_TARGETS), _TARGETS),
        headers=headers,
        repeated=frozenset(mostly(st.just(()), names)),
        joined=draw(st.booleans()),
        server=mostly(st.none(), st.sampled_from(["notes", "calculator", "x"])),
        body=draw(_BODIES),
        body_truncated=mostly(no, st.booleans()),
        mcp_metadata=mostly(
            st.none(),
            st.dictionaries(
                st.sampled_from(["is_mcp_request", "status", "method", "params", "x"]), JSON
            ),
        ),
        refuse_lookalikes=mostly(no, st.booleans()),
        in_band=draw(st.booleans()),
    )
