"""Which call a request makes, from sources that can be believed (contract, section 6)."""

import json
from dataclasses import fields
from typing import Any, get_args

import mcp_types
import pytest

from extauthz.core.calls import (
    KIND_OF,
    KINDS,
    SOURCES,
    decode_sentinel,
    find_call,
    needs_no_rule,
    source_of,
    told_in_passing,
)
from extauthz.core.model import Allow, Call, Reason, Refusal, Request
from extauthz.core.policy import Server
from extauthz.core.rules import Glob, Rule, RuleMap
from tests.policies import asking, engine_for_tests, key_sets
from tests.tokens import NOW, mint

MODERN = "2026-07-28"
SAFE = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "safe"}}

_RESPONSE_SAID = {"is_mcp_request": True, "method": "__jsonrpc_response"}
_LISTING = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def _server(versions=(), methods=(), globs=()):
    return Server(
        name="s",
        resource=None,
        hosts=(),
        paths=(),
        issuers=(),
        audiences=frozenset(),
        tools=RuleMap({"safe": Rule(key="safe")}),
        methods=RuleMap(
            {m: Rule(key=m) for m in methods},
            tuple((Glob.parse(g), Rule(key=g)) for g in globs),
            deny_others=False,
        ),
        header_versions=frozenset(versions),
    )


def _find(*, headers=None, repeated=(), joined=False, body=None, mcp=None, truncated=False,
          server=None):  # fmt: skip
    if isinstance(body, dict | list):
        body = json.dumps(body).encode()
    request = Request(
        method="POST",
        host="h",
        target="/",
        headers=headers or {},
        repeated=frozenset(repeated),
        joined=joined,
        body=body,
        body_truncated=truncated,
        mcp_metadata=mcp,
    )
    found = find_call(request, server or _server())
    return found.reason if isinstance(found, Refusal) else found


def _said(method="tools/call", name="safe", **more):
    return {"is_mcp_request": True, "method": method, "params": {"name": name}, **more}


def _sent(name="safe", method="tools/call", version=MODERN):
    return {"mcp-protocol-version": version, "mcp-method": method, "mcp-name": name}


def test_without_a_source_nothing_is_known():
    assert _find() is None
    assert _find(headers=_sent()) is None


class TestMetadata:
    def test_what_the_filter_read_is_the_call(self):
        assert _find(mcp=_said()) == Call("tools/call", "safe")
        assert _find(mcp=_said(status="mcp_ok")) == Call("tools/call", "safe")
        assert _find(mcp=_said("tools/list")) == Call("tools/list")

    def test_a_response_is_one_only_where_the_body_shows_it(self):
        """The filter says so of a message with a method and a result, and servers run that."""
        said = {"is_mcp_request": True, "method": "__jsonrpc_response"}
        assert _find(mcp=said) is None
        assert _find(mcp=said, body={"jsonrpc": "2.0", "id": 1, "result": {}}) == Call("")
        assert _find(mcp=said, body={**SAFE, "result": {}}) == Reason.SOURCE_MISMATCH

    @pytest.mark.parametrize(
        "mcp",
        [
            {},
            {"is_mcp_request": False},
            {"is_mcp_request": "true", "method": "tools/list"},
            _said(status="mcp_not_jsonrpc"),
            _said(passthrough_reason="mcp_not_jsonrpc"),
            _said(is_exceeding_limit=True),
            {"is_mcp_request": True},
            {"is_mcp_request": True, "method": 1.0},
            {"is_mcp_request": True, "method": ""},
        ],
    )
    def test_what_the_filter_could_not_read_is_refused(self, mcp):
        assert _find(mcp=mcp) is Reason.UNVERIFIED_CALL

    def test_a_named_call_without_its_name_is_refused(self):
        said = {"is_mcp_request": True, "method": "tools/call", "params": {}}
        assert _find(mcp=said) is Reason.MALFORMED_REQUEST
        said["params"] = {"name": 1.0}
        assert _find(mcp=said) is Reason.MALFORMED_REQUEST


class TestOtherReadings:
    """A text in UTF-7 is one in UTF-8 as well, and names another tool there."""

    @pytest.mark.parametrize("source", [{"body": SAFE}, {"mcp": _said()}])
    @pytest.mark.parametrize(
        "kind",
        [
            "application/json; charset=utf-7",
            'application/json;charset="utf-7"',
            "application/json; CharSet=UTF-7",
            "application/json; charset=utf-7-imap",
            "application/json; charset=utf-16",
            "application/json; charset=iso-8859-1",
            "application/json; charset = utf-7",
            "application/json; charset=",
            'application/json; charset="utf-8',
            'application/json; charset="utf\\-7"',
            "application/json; charset*=us-ascii''utf-7",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset=utf-7; charset=utf-8",
            'application/json; x="; charset=utf-8"; charset=utf-7',
            "application/json; charset=utf-8, application/json; charset=utf-7",
        ],
    )
    def test_a_message_in_another_charset_is_refused(self, kind, source):
        assert _find(headers={"content-type": kind}, **source) is Reason.MALFORMED_REQUEST

    @pytest.mark.parametrize("source", [{"body": SAFE}, {"mcp": _said()}])
    @pytest.mark.parametrize(
        "kind",
        [
            "",
            "application/json",
            "Application/JSON ;x=y",
            "application/json; charset=utf-8",
            'application/json;charset="UTF-8"',
            "application/json; charset=utf8 ; x=y",
            "application/json; charset=utf-8; charset=utf-8",
            "application/json; charset=utf-8,application/json; charset=utf-8",
        ],
    )
    def test_one_in_utf_8_is_read(self, kind, source):
        assert _find(headers={"content-type": kind}, **source) == Call("tools/call", "safe")

    @pytest.mark.parametrize("source", [{"body": SAFE}, {"mcp": _said()}])
    @pytest.mark.parametrize(
        "kind",
        [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; a=application/json",
            "text/plain;application/json",
            "application/json-seq",
            "application/json, text/plain",
            "application/json; charset=utf-8, multipart/form-data; boundary=x",
            "; application/json",
            "application/json,",
            "application/json\x0b",
            "application/json\n",
        ],
    )
    def test_a_message_that_says_to_be_something_else_is_refused(self, kind, source):
        """A server that takes forms, too, may find another call in it."""
        assert _find(headers={"content-type": kind}, **source) is Reason.MALFORMED_REQUEST

    @pytest.mark.parametrize("source", [{"body": SAFE}, {"mcp": _said()}])
    def test_a_packed_message_is_refused(self, source):
        for packing in ("gzip", "br", "identity, gzip", "GZIP", "x"):
            odd = {"content-encoding": packing}
            assert _find(headers=odd, **source) is Reason.MALFORMED_REQUEST
        for none in ("", "identity", "Identity"):
            plain = {"content-encoding": none}
            assert _find(headers=plain, **source) == Call("tools/call", "safe")

    def test_where_nobody_looked_at_a_message_its_form_does_not_matter(self):
        odd = {"content-type": "application/json; charset=utf-7", "content-encoding": "gzip"}
        assert _find(headers=odd) is None
        checked = _server(versions=[MODERN])
        assert _find(headers=odd | _sent(), server=checked) == Call("tools/call", "safe")


class TestBody:
    def test_the_member_that_names_the_target_depends_on_the_method(self):
        assert _find(body=SAFE) == Call("tools/call", "safe")
        prompt = {"method": "prompts/get", "params": {"name": "p"}}
        assert _find(body=prompt) == Call("prompts/get", "p")
        for method in ("resources/read", "resources/subscribe", "resources/unsubscribe"):
            body = {"method": method, "params": {"uri": "file:///a"}}
            assert _find(body=body) == Call(method, "file:///a")
        assert _find(body={"method": "tools/list"}) == Call("tools/list")

    def test_a_missing_id_changes_nothing(self):
        body = {k: v for k, v in SAFE.items() if k != "id"}
        assert _find(body=body) == Call("tools/call", "safe")

    def test_a_response_has_exactly_one_of_result_and_error(self):
        assert _find(body={"id": 1, "result": {}}) == Call("")
        assert _find(body={"id": 1, "error": {}}) == Call("")
        assert _find(body={"id": 1}) is Reason.MALFORMED_REQUEST
        assert _find(body={"id": 1, "result": {}, "error": {}}) is Reason.MALFORMED_REQUEST

    @pytest.mark.parametrize("body", [[SAFE], [], [[SAFE]]])
    def test_a_batch_is_refused(self, body):
        assert _find(body=body) is Reason.BATCH_REFUSED

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b'"x"',
            b"{",
            b"\xef\xbb\xbf{}",
            json.dumps(SAFE).encode("utf-16"),
            b"\xff",
            json.dumps(SAFE).encode() + b" x",
            json.dumps(SAFE).encode() * 2,
            b'{"method":"tools/call","params":{"name":"safe","name":"danger"}}',
            b'{"method":"tools/call","params":{"name":"safe","n\\u0061me":"danger"}}',
            b'{"method":"a","method":"b"}',
            b'{"method":"a","params":{},"params":{}}',
            b'{"method":"tools/list","id":NaN}',
            b'{"method":"tools/list","id":-Infinity}',
            b'{"method":"tools/list","id":1e400}',
            b'{"method":"tools/list","params":{"x":' + b"[" * 100 + b"]" * 100 + b"}}",
            b'{"method":"tools/call","params":{"name":"safe"},"Method":"tools/list"}',
            b'{"method":"tools/call","params":{"name":"safe","Name":"danger"}}',
            b'{"method":"tools/call","params":{"name":"safe","na\\u0000me":"danger"}}',
            '{"method":"tools/call","paramſ":{}}'.encode(),
            b'{"method":"tools/call","params":["danger"]}',
            b'{"method":"tools/call","params":"x"}',
            b'{"method":"tools/call"}',
            b'{"method":"tools/call","params":{}}',
            b'{"method":"tools/call","params":{"name":["danger"]}}',
            b'{"method":"resources/read","params":{"name":"x"}}',
            b'{"method":7}',
            b'{"method":""}',
            b'{"method":"tools/call","params":{"name":"\\ud800"}}',
        ],
    )
    def test_what_two_parsers_could_read_differently_is_refused(self, body):
        assert _find(body=body) is Reason.MALFORMED_REQUEST

    def test_nesting_has_a_bound(self):
        def nested(depth):
            deep = b"[" * depth + b"]" * depth
            return b'{"method":"tools/list","params":{"x":' + deep + b"}}"

        assert _find(body=nested(62)) == Call("tools/list")
        assert _find(body=nested(63)) is Reason.MALFORMED_REQUEST

    def test_brackets_in_strings_are_not_nesting(self):
        body = {"method": "tools/list", "params": {"x": '["' * 500}}
        assert _find(body=body) == Call("tools/list")

    def test_a_truncated_body_is_refused(self):
        assert _find(body=SAFE, truncated=True) is Reason.MALFORMED_REQUEST


class TestHeaders:
    server = _server([MODERN])

    @pytest.mark.requirement("M22")
    def test_headers_count_for_listed_versions_only(self):
        assert _find(headers=_sent(), server=self.server) == Call("tools/call", "safe")
        assert _find(headers=_sent(version="2025-11-25"), server=self.server) is None
        assert _find(headers=_sent(version=f"{MODERN},{MODERN}"), server=self.server) is None
        headers = {k: v for k, v in _sent().items() if k != "mcp-protocol-version"}
        assert _find(headers=headers, server=self.server) is None
        found = _find(headers=_sent(), repeated=["mcp-protocol-version"], server=self.server)
        assert found is None

    @pytest.mark.requirement("M21")
    @pytest.mark.parametrize("name", ["mcp-method", "mcp-name"])
    def test_each_header_occurs_once(self, name):
        found = _find(headers=_sent(), repeated=[name], server=self.server)
        assert found is Reason.MALFORMED_REQUEST

    def test_an_empty_method_is_none(self):
        """An empty one would pass for a response, which is no call."""
        found = _find(headers=_sent(method=""), server=self.server)
        assert found is Reason.MALFORMED_REQUEST

    def test_a_comma_may_hide_a_second_line_where_the_proxy_joins(self):
        headers = _sent("file:///a,b", "resources/read")
        assert _find(headers=headers, server=self.server) == Call("resources/read", "file:///a,b")
        found = _find(headers=headers, joined=True, server=self.server)
        assert found is Reason.MALFORMED_REQUEST

    @pytest.mark.requirement("M21")
    def test_a_name_that_is_not_needed_occurs_once_and_decodes_too(self):
        listing = _sent("safe", "tools/list")
        assert _find(headers=listing, server=self.server) == Call("tools/list")
        found = _find(headers=listing, repeated=["mcp-name"], server=self.server)
        assert found is Reason.MALFORMED_REQUEST
        for odd in ("=?base64?c2FmZQ?=", "é"):
            found = _find(headers=_sent(odd, "tools/list"), server=self.server)
            assert found is Reason.MALFORMED_REQUEST
        joined = _sent("safe,danger", "tools/list")
        assert _find(headers=joined, server=self.server) == Call("tools/list")
        assert _find(headers=joined, joined=True, server=self.server) is Reason.MALFORMED_REQUEST

    def test_a_named_call_needs_its_name(self):
        headers = {k: v for k, v in _sent().items() if k != "mcp-name"}
        assert _find(headers=headers, server=self.server) is Reason.MALFORMED_REQUEST
        headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/list"}
        assert _find(headers=headers, server=self.server) == Call("tools/list")

    def test_a_version_without_a_method_is_no_source(self):
        assert _find(headers={"mcp-protocol-version": MODERN}, server=self.server) is None

    @pytest.mark.requirement("M24")
    @pytest.mark.parametrize(
        ("value", "name"),
        [
            ("=?base64?SGVsbG8=?=", "Hello"),
            ("=?base64?w6k=?=", "é"),
            ("SGVsbG8=", "SGVsbG8="),
            ("=?base64?SGVsbG8=", "=?base64?SGVsbG8="),
            ("SGVsbG8=?=", "SGVsbG8=?="),
            ("=?BASE64?SGVsbG8=?=", None),
            ("=?base32?SGVsbG8=?=", None),
            ("=?base64?=", None),
            ("=??=", None),
            ("=?base64?PT9iYXNlNjQ/eD89?=", "=?base64?x?="),
            ("=?base64?SGVsbG8?=", None),
            ("=?base64?SGVs!!!bG8=?=", None),
            ("=?base64?SGVsbG9=?=", None),
            ("=?base64?/w==?=", None),
            ("=?base64??=", ""),
        ],
    )
    def test_the_base64_sentinel_is_decoded_strictly(self, value, name):
        assert decode_sentinel(value) == name
        found = _find(headers=_sent(value), server=self.server)
        expected = Reason.MALFORMED_REQUEST if name is None else Call("tools/call", name)
        assert found == expected

    @pytest.mark.requirement("M24")
    def test_a_method_may_come_in_base64_too(self):
        encoded = "=?base64?dG9vbHMvY2FsbA==?="
        assert _find(headers=_sent(method=encoded), server=self.server) == Call(
            "tools/call", "safe"
        )
        headers = {k: v for k, v in _sent(method=encoded).items() if k != "mcp-name"}
        assert _find(headers=headers, server=self.server) is Reason.MALFORMED_REQUEST
        disguised = _sent(method="=?base64?VG9vbHMvQ2FsbA==?=")
        assert _find(headers=disguised, server=self.server) is Reason.MALFORMED_REQUEST

    @pytest.mark.parametrize(
        "odd", ["=?base64?dG9vbHMvY2FsbA?=", "=?BASE64?dG9vbHMvY2FsbA==?=", "=?base64??="]
    )
    def test_a_method_that_looks_like_base64_and_is_none_is_refused(self, odd):
        """Decoded to nothing, it would pass for a response."""
        found = _find(headers=_sent(method=odd), server=self.server)
        assert found is Reason.MALFORMED_REQUEST

    @pytest.mark.parametrize("odd", ["é", "\u00c3\u00a9", "safe\u00a0", "\u0131"])
    def test_what_is_not_ascii_is_no_word_of_a_source(self, odd):
        """Octets read as Latin-1, and as UTF-8, are two names: one of them is not ruled."""
        for headers in (_sent(odd), _sent(method=odd)):
            found = _find(headers=headers, server=self.server)
            assert found is Reason.MALFORMED_REQUEST


class TestAgreement:
    @pytest.mark.requirement("M21")
    def test_filter_and_body_must_agree(self):
        assert _find(mcp=_said(), body=SAFE) == Call("tools/call", "safe")
        assert _find(mcp=_said(name="other"), body=SAFE) is Reason.SOURCE_MISMATCH
        assert _find(mcp=_said("tools/list"), body=SAFE) is Reason.SOURCE_MISMATCH

    @pytest.mark.requirement("M21")
    @pytest.mark.parametrize("source", [{"mcp": _said()}, {"body": SAFE}])
    @pytest.mark.parametrize("versions", [[], [MODERN]])
    def test_headers_must_not_tell_another_story(self, source, versions):
        server = _server(versions)
        same = _find(headers=_sent(), server=server, **source)
        assert same == Call("tools/call", "safe")
        encoded = _find(headers=_sent("=?base64?c2FmZQ==?="), server=server, **source)
        assert encoded == Call("tools/call", "safe")
        encoded = _sent(method="=?base64?dG9vbHMvY2FsbA==?=")
        assert _find(headers=encoded, server=server, **source) == Call("tools/call", "safe")
        for headers in (
            _sent("danger"),
            _sent("safe,danger"),
            _sent(method="tools/list"),
            _sent(method="TOOLS/CALL"),
            _sent("=?base64?c2FmZQ?="),
            _sent(method="=?base64?cGluZw==?="),
            _sent(method="=?base64?dG9vbHMvY2FsbA?="),
            _sent("danger", version="2025-11-25"),
            {"mcp-name": "danger"},
            {"mcp-method": "ping"},
        ):
            assert _find(headers=headers, server=server, **source) is Reason.SOURCE_MISMATCH
        for name in ("mcp-name", "mcp-method"):
            found = _find(headers=_sent(), repeated=[name], server=server, **source)
            assert found is Reason.SOURCE_MISMATCH

    def test_a_header_that_is_not_ascii_agrees_with_nothing(self):
        """One door reads its octets as Latin-1, another as UTF-8."""
        body = {"method": "tools/call", "params": {"name": "é"}}
        assert _find(headers=_sent("=?base64?w6k=?="), body=body) == Call("tools/call", "é")
        for name in ("é", "\u00c3\u00a9"):
            assert _find(headers=_sent(name), body=body) is Reason.SOURCE_MISMATCH
        body = {"method": "é"}
        assert _find(headers={"mcp-method": "=?base64?w6k=?="}, body=body) == Call("é")
        for method in ("é", "\u00c3\u00a9"):
            found = _find(headers={"mcp-method": method}, body=body)
            assert found is Reason.SOURCE_MISMATCH

    @pytest.mark.parametrize("source", [{"mcp": _said("tools/list")}, {"body": _LISTING}])
    def test_a_name_beside_a_call_that_has_none_says_nothing(self, source):
        assert _find(headers={"mcp-name": "x"}, **source) == Call("tools/list")


@pytest.mark.parametrize("method", ["Tools/Call", "tools/call ", " ping", "PING", "tools/call\0"])
def test_a_known_method_in_disguise_is_refused(method):
    assert _find(body={"method": method, "params": {"name": "x"}}) is Reason.MALFORMED_REQUEST
    assert _find(mcp=_said(method)) is Reason.MALFORMED_REQUEST


def test_a_ruled_method_in_disguise_is_refused():
    server = _server(methods=["x/Do"])
    assert _find(body={"method": "x/Do"}, server=server) == Call("x/Do")
    assert _find(body={"method": "x/do"}, server=server) is Reason.MALFORMED_REQUEST
    assert _find(body={"method": "y/do"}, server=server) == Call("y/do")


def _methods(messages: Any) -> set[str]:
    """The methods of a union of the SDK's messages."""
    return {get_args(one.model_fields["method"].annotation)[0] for one in get_args(messages)}


# Of the schemas up to 2026-07-28; what is an extension now, the SDK no longer counts among them.
_TASKS = {"tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update"}
_OF_CLIENTS = _methods(mcp_types.ClientRequest) | _methods(mcp_types.ClientNotification) | _TASKS


@pytest.mark.parametrize("method", sorted(_OF_CLIENTS))
def test_every_method_that_a_client_may_send_is_known_in_disguise(method):
    params = {"name": "x", "uri": "x"}
    assert _find(body={"method": method, "params": params}).method == method
    for disguised in (method.upper(), f"{method} "):
        found = _find(body={"method": disguised, "params": params})
        assert found is Reason.MALFORMED_REQUEST


def test_a_method_that_a_pattern_rules_is_known_in_disguise():
    server = _server(globs=["admin/*", "Ops/*"])
    for method in ("admin/x", "Ops/x", "other/x", "Other/x"):
        assert _find(body={"method": method}, server=server) == Call(method)
    for method in ("Admin/x", " admin/x", "ops/x", "OPS/x"):
        assert _find(body={"method": method}, server=server) is Reason.MALFORMED_REQUEST


@pytest.mark.parametrize("blank", [" ", "\0"])
def test_a_response_is_no_method_in_disguise(blank):
    assert _find(body={"id": 1, "result": {}}, server=_server(methods=[blank])) == Call("")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_request_without_a_body_makes_no_call(method):
    """Sections 6 and 7: the first three need scopes only, OPTIONS is judged as GET."""
    token = mint({"aud": "https://mcp.example.com/calculator/mcp", "scope": "calculator"})
    request = asking(token, method=method, target="/calculator/mcp")
    assert isinstance(engine_for_tests().decide(request, key_sets(), now=NOW), Allow)


_READ = {"is_mcp_request": True, "method": "ping"}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("body", {"body": b"", "headers": {"mcp-method": "ping"}}),
        ("body", {"body": b"", "headers": {}, "mcp_metadata": _READ}),
        ("mcp", {"body": b"", "mcp_metadata": {}, "headers": {"mcp-method": "ping"}}),
        ("mcp", {"mcp_metadata": {}, "headers": {"mcp-method": "ping"}}),
        ("mcp", {"mcp_metadata": _said(), "headers": {"mcp-method": "ping"}}),
        ("mcp", {"mcp_metadata": {**_RESPONSE_SAID, "is_exceeding_limit": True}, "headers": {}}),
        ("none", {"mcp_metadata": _RESPONSE_SAID, "headers": {}}),
        ("headers", {"mcp_metadata": _RESPONSE_SAID, "headers": {"mcp-method": "ping"}}),
        ("headers", {"headers": {"mcp-method": "ping"}}),
        ("none", {"headers": {"mcp-name": "x"}}),
    ],
)
def test_the_log_names_the_best_source_by_a_listed_word(source, told):
    assert source_of(Request(method="POST", host="h", target="/", **told)) == source
    assert source in SOURCES
    assert len(SOURCES) == 4


class TestToldInPassing:
    """What the log says of a call that no rule asks for: the filter's word, where it is sure."""

    @staticmethod
    def told(mcp, **more):
        request = Request(
            method="POST", host="h", target="/", mcp_metadata=mcp, **{"headers": {}, **more}
        )
        return told_in_passing(request)

    def test_it_is_what_the_filter_read(self):
        assert self.told(_said()) == Call("tools/call", "safe")
        assert self.told(_said(), headers=_sent()) == Call("tools/call", "safe")
        assert self.told(_said(), body=b"not read") == Call("tools/call", "safe")

    @pytest.mark.parametrize(
        ("mcp", "more"),
        [
            (None, {}),
            (_said(), {"headers": {"content-type": "application/json; charset=utf-7"}}),
            (_said(), {"headers": {"content-encoding": "br"}}),
            (_said(is_exceeding_limit=True), {}),
            ({"is_mcp_request": True, "method": "__jsonrpc_response"}, {}),
            (_said(), {"headers": _sent("danger")}),
        ],
        ids=[
            "no filter",
            "a charset",
            "packed",
            "unusable",
            "a response",
            "contradicted",
        ],
    )
    def test_it_is_nothing_where_that_is_not_sure(self, mcp, more):
        assert self.told(mcp, **more) is None


def test_each_kind_of_target_has_rules_of_its_own():
    ruled = {field.name for field in fields(Server) if field.type == "RuleMap"}
    assert {f"{kind}s" for kind in KINDS} == ruled - {"methods"}
    assert not any(map(needs_no_rule, KIND_OF))
