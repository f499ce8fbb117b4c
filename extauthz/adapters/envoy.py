"""Envoy's gRPC external authorization, as pure functions: CheckRequest in, CheckResponse out.

See docs/contract.md, section 4. An unset status means *allow* to Envoy: every reply is made
by ``to_response``, which starts from a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value

from extauthz._pb.external_auth_pb2 import (
    CheckRequest,
    CheckResponse,
    DeniedHttpResponse,
    HeaderValue,
    HeaderValueOption,
    HttpStatus,
    OkHttpResponse,
    Status,
)
from extauthz.core.model import (
    Allow,
    Answer,
    Decision,
    Deny,
    Headers,
    Reason,
    Refusal,
    Request,
)

from .lease import lease

MCP_NAMESPACE: Final = "envoy.filters.http.mcp"
"""Where Envoy's MCP filter leaves what it read of the message."""

SERVER_KEY: Final = "mcp_server"
"""The context extension by which a route names its server."""

_PARTIAL_BODY: Final = "x-envoy-auth-partial-body"
_PSEUDO: Final = (":path", ":method", ":authority", ":scheme", ":protocol")
_BLANKS: Final = " \t"
_ONCE: Final[frozenset[str]] = frozenset()

# google.rpc.Code
_OK: Final = 0
_PERMISSION_DENIED: Final = 7
_NOT_FOUND: Final = 5
_CODES: Final = {401: 16, 403: _PERMISSION_DENIED, 400: 3, 503: 14}

_OVERWRITE: Final = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD

_NO_HTTP: Final = Refusal(Reason.MALFORMED_REQUEST, "the check says nothing of an HTTP request")
_TWO_TALES: Final = Refusal(Reason.MALFORMED_REQUEST, "headers and header_map differ")
_TWO_BODIES: Final = Refusal(Reason.MALFORMED_REQUEST, "body and raw_body differ")


def to_request(
    message: CheckRequest, traceparent: Callable[[], str | None] | None = None
) -> Request | Refusal:
    """What Envoy says of one HTTP request, or a refusal where that is not one request.

    Method, host and path are the check's own fields; the pseudo headers that repeat them are
    dropped. ``traceparent`` tells the trace context of the RPC.
    """
    attributes = message.attributes
    http = attributes.request.http
    method = http.method
    if not method:
        return _NO_HTTP
    repeated = _ONCE
    headers: Mapping[str, str]
    lines = http.header_map.headers
    joined = not lines
    if joined:
        headers, repeated = _map(http.headers.items())
    else:
        # The usual form, on the path of every request: read no more than has to be read.
        by_name = {line.key: line for line in lines}
        if len(by_name) == len(lines) and "".join(by_name).islower():
            for name in _PSEUDO:
                by_name.pop(name, None)
            headers = _Lines(by_name)
        else:
            headers, repeated = _map((line.key, _text(line)) for line in lines)
        if http.headers:
            both = _both(headers, http.headers)
            if both is None:
                return _TWO_TALES
            # What only the second form tells may be several lines, joined.
            joined = len(both) > len(headers)
            headers = both
    body: bytes | None = None
    truncated = False
    if http.raw_body or http.body or _PARTIAL_BODY in headers:
        if http.raw_body and http.body and http.raw_body != http.body.encode():
            return _TWO_BODIES
        body = http.raw_body or http.body.encode()
        truncated = (
            headers.get(_PARTIAL_BODY, "false") != "false"
            or http.size > len(body)
            or _is_longer(headers.get("content-length"), len(body))
        )
    said: Mapping[str, Struct] = {}
    if attributes.HasField("metadata_context"):
        said = attributes.metadata_context.filter_metadata
    return Request(
        method=method,
        host=http.host.strip(_BLANKS),
        target=http.path,
        headers=headers,
        repeated=repeated,
        joined=joined,
        server=attributes.context_extensions.get(SERVER_KEY),
        body=body,
        body_truncated=truncated,
        mcp_metadata=_members(said[MCP_NAMESPACE]) if MCP_NAMESPACE in said else None,
        traceparent=traceparent,
    )


class _Lines(Mapping[str, str]):
    """Header lines that came once each, read when asked for: few of them ever are."""

    __slots__ = ("_lines",)

    def __init__(self, lines: dict[str, HeaderValue]) -> None:
        self._lines = lines

    def __getitem__(self, name: str) -> str:
        return _text(self._lines[name])

    def get(self, name: str, default: Any = None) -> Any:
        line = self._lines.get(name)
        return default if line is None else _text(line)

    def __contains__(self, name: object) -> bool:
        return name in self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def keys(self) -> KeysView[str]:
        return self._lines.keys()


def _text(line: HeaderValue) -> str:
    return (str(line.raw_value, "latin-1") if line.raw_value else line.value).strip(_BLANKS)


def _map(lines: Iterable[tuple[str, str]]) -> tuple[dict[str, str], frozenset[str]]:
    """Header lines by lower-case name, and the names that came more than once."""
    headers: dict[str, str] = {}
    repeated: set[str] = set()
    for name, value in lines:
        key, text = name.lower(), value.strip(_BLANKS)
        if key.startswith(":"):
            continue
        if key in headers:
            repeated.add(key)
            text = f"{headers[key]},{text}"
        headers[key] = text
    return headers, frozenset(repeated)


def _is_longer(length: str | None, size: int) -> bool:
    """Whether a Content-Length says more than ``size`` octets, or nothing that can be read."""
    if length is None:
        return False
    return not (length.isascii() and length.isdigit() and len(length) < 19) or int(length) > size


def _both(headers: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str] | None:
    """Headers that were told in both forms; None where these differ, or one has no credentials."""
    more, _ = _map(others.items())
    if headers.get("authorization") != more.get("authorization"):
        return None
    both = dict(headers)
    for name, value in more.items():
        if both.setdefault(name, value) != value:
            return None
    return both


def _members(struct: Struct) -> dict[str, object]:
    return {name: _plain_value(value) for name, value in struct.fields.items()}


def _plain_value(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _members(value.struct_value)
    if kind == "list_value":
        return [_plain_value(element) for element in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def to_response(decision: Decision) -> CheckResponse:
    """The reply that makes Envoy do what was decided.

    Begins as a refusal, and turns into an allow only with the last assignment of a whole one.
    """
    response = CheckResponse(
        status=Status(code=_PERMISSION_DENIED),
        denied_response=DeniedHttpResponse(status=HttpStatus(code=403)),
    )
    match decision:
        case Allow():
            response.ok_response.CopyFrom(_ok(decision))
            response.dynamic_metadata.CopyFrom(_about_allowed(decision))
            response.status.code = _OK
        case Deny():
            response.status.code = _CODES.get(decision.status, _PERMISSION_DENIED)
            _deny(response.denied_response, decision.status, decision.headers, decision.body)
            about = {"server": decision.server, "reason": decision.reason.value}
            response.dynamic_metadata.CopyFrom(_struct(about))
        case Answer():
            if decision.status == 404:
                response.status.code = _NOT_FOUND
            body = b"" if decision.status == 204 else decision.body
            _deny(response.denied_response, decision.status, decision.headers, body)
            if decision.server:
                response.dynamic_metadata.CopyFrom(_struct({"server": decision.server}))
    return response


def _ok(allow: Allow) -> OkHttpResponse:
    return OkHttpResponse(
        headers=_options((*allow.headers, *lease(allow.lease_seconds))),
        headers_to_remove=allow.remove,
        response_headers_to_add=_options(allow.client_headers),
    )


def _deny(denied: DeniedHttpResponse, status: int, headers: Headers, body: bytes) -> None:
    denied.status.code = status
    denied.headers.extend(_options(headers))
    denied.body = body.decode("utf-8", "replace")


def _options(headers: Headers) -> list[HeaderValueOption]:
    return [
        HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=_OVERWRITE)
        for name, value in headers
    ]


def _about_allowed(allow: Allow) -> Struct:
    """For access logs and rate limits; only a verified token says who is calling."""
    about: dict[str, Any] = {"server": allow.server}
    if allow.token is not None:
        facts = allow.token.facts
        about |= {
            "subject": facts.subject,
            "client_id": facts.client_id,
            "issuer": facts.issuer_value,
            # One that holds a space counts for nothing here, and would read as two over there.
            "scopes": " ".join(scope for scope in facts.scopes if " " not in scope),
        }
    if allow.call is not None and allow.call.method == "tools/call":
        about["tool"] = allow.call.name
    if allow.audited is not None:
        about["audited"] = allow.audited.value
    return _struct(about)


def _struct(members: Mapping[str, str | None]) -> Struct:
    fields = {name: Value(string_value=text) for name, text in members.items() if text}
    return Struct(fields=fields)
