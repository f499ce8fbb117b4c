"""What Envoy says becomes a request, and decisions become what Envoy does (contract, section 4)."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from extauthz._pb.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.adapters.envoy import MCP_NAMESPACE, to_request, to_response
from extauthz.core.engine import Engine
from extauthz.core.model import Allow, Answer, Call, Deny, Reason, Refusal, Request
from tests.adapters.doors import header_options
from tests.policies import asking, engine_for_tests, key_sets
from tests.tokens import NOW, mint


def check(**http: Any) -> CheckRequest:
    """A check of a GET, with fields of its HTTP request set or changed."""
    message = CheckRequest()
    part = message.attributes.request.http
    part.method, part.path, part.host = "GET", "/notes/mcp", "mcp.example.com"
    for name, value in http.items():
        if name == "headers":
            part.headers.update(value)
        elif name == "lines":
            for key, raw in value:
                line = part.header_map.headers.add()
                line.key = key
                if isinstance(raw, bytes):
                    line.raw_value = raw
                else:
                    line.value = raw
        else:
            setattr(part, name, value)
    return message


def read(**http: Any) -> Request:
    request = to_request(check(**http))
    assert isinstance(request, Request)
    return request


def refused(message: CheckRequest) -> Reason:
    refusal = to_request(message)
    assert isinstance(refusal, Refusal)
    return refusal.reason


class TestHeaders:
    def test_joined_headers_may_hide_a_second_line(self):
        request = read(headers={"accept": "a,b"})
        assert (dict(request.headers), request.joined) == ({"accept": "a,b"}, True)

    def test_raw_lines_are_what_they_are(self):
        request = read(lines=[("accept", b"a"), ("x-odd", "é".encode("latin-1"))])
        assert dict(request.headers) == {"accept": "a", "x-odd": "é"}
        assert (request.joined, request.repeated) == (False, frozenset())

    def test_blanks_at_the_ends_belong_to_no_value(self):
        """So it is at the other doors (RFC 9110 section 5.5); the path is no header's value."""
        request = read(
            lines=[("origin", b" \thttps://a\t ")], host="\tmcp.example.com ", path="/notes/mcp "
        )
        assert dict(request.headers) == {"origin": "https://a"}
        assert (request.host, request.target) == ("mcp.example.com", "/notes/mcp ")
        assert read(host="mcp.example.com\x0b").host == "mcp.example.com\x0b"

    def test_a_line_may_come_as_text_or_empty(self):
        request = read(lines=[("accept", "a"), ("x-empty", b"")])
        assert dict(request.headers) == {"accept": "a", "x-empty": ""}

    def test_raw_lines_of_one_name_are_joined_and_told(self):
        request = read(lines=[("accept", b"a"), ("Accept", b" b "), ("x", b"c")])
        assert dict(request.headers) == {"accept": "a,b", "x": "c"}
        assert request.repeated == {"accept"}

    @pytest.mark.parametrize("form", ["headers", "lines"])
    @pytest.mark.parametrize(
        ("sent", "read_as"),
        [
            (" a ", "a"), ("\ta\t", "a"), ("\u00a0a", "\u00a0a"), ("a \t b", "a \t b"), (" \t", ""),
            ("XaX", "XaX"),
        ],
    )  # fmt: skip
    def test_only_spaces_and_tabs_at_the_ends_are_no_part_of_a_value(self, form, sent, read_as):
        raw = sent.encode("latin-1")
        given_ = {"x-a": sent} if form == "headers" else [("x-a", raw)]
        assert read(**{form: given_}).headers["x-a"] == read_as

    @pytest.mark.parametrize("form", ["headers", "lines"])
    def test_names_are_lower_case_and_pseudo_headers_gone(self, form):
        lines = [("X-A", b"1"), (":path", b"/evil"), (":method", b"PUT"), (":odd", b"x")]
        given_ = lines if form == "lines" else {name: raw.decode() for name, raw in lines}
        request = read(**{form: given_})
        assert dict(request.headers) == {"x-a": "1"}
        assert (request.target, request.method) == ("/notes/mcp", "GET")

    def test_usual_pseudo_headers_are_gone_at_full_speed_too(self):
        lines = [(":path", b"/"), (":authority", b"h"), (":method", b"GET"), (":scheme", b"s")]
        lines.append((":protocol", b"websocket"))
        assert dict(read(lines=[*lines, ("a", b"b")]).headers) == {"a": "b"}

    def test_lines_behave_like_any_mapping(self):
        headers = read(lines=[("a", b"1"), ("b", b"2")]).headers
        assert (len(headers), list(headers), "a" in headers, "z" in headers) == (
            2,
            ["a", "b"],
            True,
            False,
        )
        assert (headers.get("b"), headers.get("z"), headers.get("z", "-")) == ("2", None, "-")
        assert headers.keys() <= {"a", "b", "c"}
        with pytest.raises(KeyError):
            headers["z"]

    def test_both_forms_must_not_differ_about_credentials(self):
        lines = [("authorization", b"Bearer a")]
        assert read(lines=lines, headers={"Authorization": " Bearer a"}).headers
        for other in (
            {"authorization": "Bearer b"},
            {"authorization": "\u00a0Bearer a"},
            {"accept": "Bearer a"},
        ):
            assert refused(check(lines=lines, headers=other)) is Reason.MALFORMED_REQUEST
        twice = check(lines=lines, headers={"Authorization": "Bearer a", "authorization": "b"})
        assert refused(twice) is Reason.MALFORMED_REQUEST
        hidden = check(lines=[("accept", b"x")], headers={"authorization": "Bearer a"})
        assert refused(hidden) is Reason.MALFORMED_REQUEST

    def test_what_only_one_of_both_forms_tells_is_told(self):
        lines = [("accept", b"a"), ("x-a", b"1,2")]
        request = read(lines=lines, headers={"Origin": " o", "x-a": "1,2", ":path": "/evil"})
        assert dict(request.headers) == {"accept": "a", "x-a": "1,2", "origin": "o"}
        assert request.joined
        request = read(lines=[*lines, ("x-a", b"3")], headers={"x-a": "1,2,3"})
        assert dict(request.headers) == {"accept": "a", "x-a": "1,2,3"}
        assert (request.joined, request.repeated) == (False, frozenset({"x-a"}))

    def test_both_forms_must_not_differ_about_any_header(self):
        lines = [("accept", b"a"), ("x-a", "é".encode())]
        for other in ({"accept": "b"}, {"accept": "a,a"}, {"Accept": ""}, {"x-a": "é"}):
            assert refused(check(lines=lines, headers=other)) is Reason.MALFORMED_REQUEST

    def test_no_lookalike_hides_in_one_of_both_forms(self, engine: Engine):
        token = f"Bearer {mint()}"
        told = {"authorization": token, "x_auth_subject": "mallory"}
        request = read(lines=[("authorization", token.encode())], headers=told)
        decision = engine.decide(request, key_sets(), now=NOW)
        assert isinstance(decision, Allow)
        assert "x_auth_subject" in decision.remove


class TestBody:
    def test_there_is_none_unless_envoy_says_so(self):
        assert (read().body, read().body_truncated) == (None, False)

    def test_the_marker_makes_an_empty_body_one(self):
        request = read(headers={"x-envoy-auth-partial-body": "false"})
        assert (request.body, request.body_truncated) == (b"", False)

    @pytest.mark.parametrize("field", [{"body": "{}"}, {"raw_body": b"{}"}])
    def test_a_body_needs_no_marker(self, field):
        request = read(**field)
        assert (request.body, request.body_truncated) == (b"{}", False)

    def test_text_and_bytes_must_not_differ(self):
        assert read(body="{}", raw_body=b"{}").body == b"{}"
        assert refused(check(body="{}", raw_body=b"[]")) is Reason.MALFORMED_REQUEST

    @pytest.mark.parametrize(
        ("marker", "size", "truncated"),
        [("true", 2, True), ("false", 3, True), ("false", 2, False), ("false", -1, False)],
    )
    def test_a_part_of_a_body_is_known_as_one(self, marker, size, truncated):
        request = read(raw_body=b"{}", size=size, headers={"x-envoy-auth-partial-body": marker})
        assert request.body_truncated is truncated

    @pytest.mark.parametrize("form", ["headers", "lines"])
    @pytest.mark.parametrize(
        ("length", "truncated"),
        [
            ("2", False), ("0", False), ("02", False), ("3", True), ("9" * 5000, True), ("", True),
            ("2,2", True), ("-1", True), ("0x2", True), ("\u00b2", True),
            ("0" * 17 + "2", False), ("0" * 18 + "2", True),
        ],
    )  # fmt: skip
    def test_a_length_of_more_than_came_makes_it_a_part(self, form, length, truncated):
        given_ = [("content-length", length.encode("latin-1"))]
        told: Any = {"content-length": length} if form == "headers" else given_
        request = read(raw_body=b"{}", size=-1, **{form: told})
        assert (request.body, request.body_truncated) == (b"{}", truncated)
        assert read(**{form: told}).body is None


class TestMetadata:
    def said(self, members: dict[str, Any], namespace: str = MCP_NAMESPACE) -> Any:
        message = check()
        struct = Struct()
        struct.update(members)
        message.attributes.metadata_context.filter_metadata[namespace].CopyFrom(struct)
        request = to_request(message)
        assert isinstance(request, Request)
        return request.mcp_metadata

    def test_is_read_as_plain_values(self):
        members: dict[str, Any] = {
            "a": True,
            "b": None,
            "c": 1.5,
            "d": "x",
            "e": [1, {"f": "y"}],
            "g": {},
        }
        # As JSON, for protobuf's own structures are equal to plain ones too.
        assert json.loads(json.dumps(self.said(members))) == members

    def test_that_has_no_value_is_none(self):
        message = check()
        message.attributes.metadata_context.filter_metadata[MCP_NAMESPACE].fields["a"].Clear()
        request = to_request(message)
        assert isinstance(request, Request)
        assert request.mcp_metadata == {"a": None}

    def test_of_another_filter_says_nothing(self):
        assert self.said({"method": "ping"}, "envoy.filters.http.other") is None
        assert read().mcp_metadata is None

    def test_that_is_empty_is_present(self):
        assert self.said({}) == {}


def test_the_trace_context_is_asked_for_only_when_it_is_wanted():
    request = to_request(check(), traceparent=lambda: "00-1-2-01")
    assert isinstance(request, Request)
    assert request.traceparent is not None
    assert request.traceparent() == "00-1-2-01"
    assert read().traceparent is None


def test_a_server_named_by_an_empty_text_is_still_named():
    message = check()
    assert read().server is None
    for name in ("notes", ""):
        message.attributes.context_extensions["mcp_server"] = name
        request = to_request(message)
        assert isinstance(request, Request)
        assert request.server == name


def test_a_check_without_an_http_request_is_malformed():
    assert refused(CheckRequest()) is Reason.MALFORMED_REQUEST
    assert refused(check(method="")) is Reason.MALFORMED_REQUEST


@pytest.fixture
def engine() -> Engine:
    return engine_for_tests()


class TestReplies:
    def decide(self, engine: Engine, request: Request) -> Any:
        return engine.decide(request, key_sets(), now=NOW)

    def test_what_is_no_decision_is_refused(self):
        reply = to_response(cast("Any", None))
        assert (reply.status.code, reply.denied_response.status.code) == (7, 403)

    def test_an_allow_tells_envoy_who_is_calling(self, engine: Engine):
        decision = self.decide(engine, asking(mint({"sub": "zoë"})))
        reply = to_response(decision)
        assert reply.HasField("status")
        assert reply.status.code == 0
        headers = header_options(reply.ok_response.headers)
        assert headers["x-auth-subject"] == "zo%C3%AB"
        assert "authorization" in reply.ok_response.headers_to_remove
        about = {name: value.string_value for name, value in reply.dynamic_metadata.fields.items()}
        assert about == {
            "server": "notes",
            "subject": "zoë",
            "client_id": "inspector",
            "issuer": "https://idp.example.com/realms/acme",
            "scopes": "notes",
        }

    def test_scopes_are_told_as_oauth_lists_them(self, engine: Engine):
        """RFC 6749 section 3.3: delimited by spaces."""
        reply = to_response(self.decide(engine, asking(mint({"scope": "notes more"}))))
        assert reply.dynamic_metadata["scopes"] == "notes more"

    def test_a_scope_that_holds_a_space_is_not_told_as_two(self, engine: Engine):
        """It counts for nothing when deciding, and must not for a proxy that splits the list."""
        token = mint({"scope": ["notes", "read admin"]})
        reply = to_response(self.decide(engine, asking(token)))
        assert reply.status.code == 0
        assert reply.dynamic_metadata["scopes"] == "notes"

    def test_the_tool_is_named_and_no_other_call(self):
        allow = Allow(server="s", headers=(), remove=(), call=Call("tools/call", "add"))
        assert to_response(allow).dynamic_metadata["tool"] == "add"
        allow = Allow(server="s", headers=(), remove=(), call=Call("prompts/get", "p"))
        assert "tool" not in to_response(allow).dynamic_metadata

    def test_a_public_path_tells_of_nobody(self, engine: Engine):
        reply = to_response(self.decide(engine, asking(target="/notes/health")))
        assert dict(reply.dynamic_metadata) == {"server": "notes"}

    def test_an_audited_allow_says_what_for(self, engine: Engine):
        reply = to_response(self.decide(engine, asking(target="/audited/mcp")))
        assert reply.status.code == 0
        assert dict(reply.dynamic_metadata) == {"server": "audited", "audited": "missing_token"}
        assert "authorization" not in reply.ok_response.headers_to_remove

    def test_a_browser_may_read_the_servers_answer(self, engine: Engine):
        origin = {"origin": "https://app.example.com"}
        reply = to_response(self.decide(engine, asking(mint(), headers=origin)))
        added = header_options(reply.ok_response.response_headers_to_add)
        assert added["access-control-allow-origin"] == origin["origin"]
        assert "access-control-allow-origin" not in header_options(reply.ok_response.headers)

    @pytest.mark.parametrize(
        ("seconds", "milliseconds"),
        [(240.0, "240000"), (0.0019, "1"), (0.0001, "1"), (0.0, "1"), (-5.0, "1")],
    )
    def test_a_lease_is_at_least_a_millisecond(self, seconds, milliseconds):
        allow = Allow(server="s", headers=(("a", "b"),), remove=(), lease_seconds=seconds)
        headers = header_options(to_response(allow).ok_response.headers)
        assert headers == {
            "a": "b",
            "x-envoy-upstream-rq-timeout-ms": milliseconds,
            "x-envoy-upstream-stream-duration-ms": milliseconds,
        }

    @pytest.mark.parametrize(
        ("reason", "status", "code"),
        [
            (Reason.MISSING_TOKEN, 401, 16),
            (Reason.DENIED_BY_RULE, 403, 7),
            (Reason.MALFORMED_REQUEST, 400, 3),
            (Reason.KEYS_UNAVAILABLE, 503, 14),
        ],
    )
    def test_a_refusal_sets_both_statuses(self, reason, status, code):
        deny = Deny(reason=reason, status=status, headers=(("a", "b"),), body=b"{}", server="s")
        reply = to_response(deny)
        assert (reply.status.code, reply.denied_response.status.code) == (code, status)
        assert reply.denied_response.body == "{}"
        assert dict(reply.dynamic_metadata) == {"server": "s", "reason": reason.value}

    def test_a_refusal_outside_any_server_names_none(self):
        deny = Deny(reason=Reason.MALFORMED_REQUEST, status=400, headers=(), body=b"")
        assert dict(to_response(deny).dynamic_metadata) == {"reason": "malformed_request"}

    @pytest.mark.parametrize(("status", "code"), [(200, 7), (204, 7), (307, 7), (404, 5)])
    def test_an_answer_in_the_servers_place_never_allows(self, status, code):
        reply = to_response(Answer(status=status, headers=(), body=b"x"))
        assert (reply.status.code, reply.denied_response.status.code) == (code, status)
        assert reply.denied_response.body == ("" if status == 204 else "x")

    def test_an_answer_names_its_server_if_it_has_one(self):
        reply = to_response(Answer(status=204, headers=(), body=b"", server="s"))
        assert dict(reply.dynamic_metadata) == {"server": "s"}
        reply = to_response(Answer(status=204, headers=(), body=b""))
        assert not reply.HasField("dynamic_metadata")

    @given(
        st.sampled_from(list(Reason)),
        st.integers(200, 599),
        st.lists(st.tuples(st.text(), st.text()), max_size=4),
        st.binary(max_size=40),
    )
    def test_no_refusal_ever_reads_as_an_allow(self, reason, status, headers, body):
        deny = Deny(reason=reason, status=status, headers=tuple(headers), body=body)
        answer = Answer(status=status, headers=tuple(headers), body=body)
        for decision in (deny, answer):
            reply = CheckResponse.FromString(to_response(decision).SerializeToString())
            assert reply.status.code != 0
            assert reply.WhichOneof("http_response") == "denied_response"
            assert reply.denied_response.status.code == status
