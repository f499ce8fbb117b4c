"""The trimmed proto against envoy-data-plane, an independent implementation of the whole API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import betterproto2
import pytest
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.service.auth import v3 as upstream
from envoy_data_plane.envoy.type import v3 as types
from google.protobuf import json_format, message_factory, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz._pb import external_auth_pb2 as ours

KINDS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_MESSAGE: "message",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
}
LEFT_OUT = {
    "Address": {"envoy_internal_address"},
    "Metadata": {"typed_filter_metadata"},
    "OkHttpResponse": {"dynamic_metadata"},
    "SocketAddress": {"ipv4_compat", "network_namespace_filepath", "resolver_name"},
    "Status": {"details"},
}
# An enum and an int32 are the same bytes.
NUMBERS_FOR_ENUMS = {"envoy.service.auth.v3.HttpStatus.code"}


# What betterproto2 keeps on its classes is not visible to a type checker.
UpstreamType = Any


def descriptor(message: type[Message]) -> Descriptor:
    return cast("Descriptor", message.DESCRIPTOR)


def map_entry(field: FieldDescriptor) -> Descriptor | None:
    inner = field.message_type
    return inner if inner is not None and inner.GetOptions().map_entry else None


def messages(
    mine: Descriptor, theirs: UpstreamType, seen: set[str]
) -> Iterator[tuple[Descriptor, UpstreamType]]:
    """Every message of ours reachable from ``mine``, with its counterpart."""
    if mine.full_name in seen or mine.full_name.startswith("google.protobuf."):
        return
    seen.add(mine.full_name)
    yield mine, theirs
    types_by_field = theirs()._betterproto.cls_by_field
    for field in mine.fields:
        if entry := map_entry(field):
            value = entry.fields_by_name["value"].message_type
            if value is not None:
                yield from messages(value, types_by_field[f"{field.name}.value"], seen)
        elif field.message_type is not None:
            yield from messages(field.message_type, types_by_field[field.name], seen)


def all_messages() -> list[tuple[Descriptor, UpstreamType]]:
    seen: set[str] = set()
    return [
        *messages(descriptor(ours.CheckRequest), upstream.CheckRequest, seen),
        *messages(descriptor(ours.CheckResponse), upstream.CheckResponse, seen),
    ]


def shape(field: FieldDescriptor) -> dict[str, object]:
    entry = map_entry(field)
    kind = "map" if entry else KINDS[field.type]
    if field.full_name in NUMBERS_FOR_ENUMS:
        kind = "enum"
    group = field.containing_oneof
    return {
        "number": field.number,
        "kind": kind,
        "entry": [(part.number, KINDS[part.type]) for part in entry.fields] if entry else [],
        "repeated": field.is_repeated and not entry,
        "oneof": group.name if group else None,
    }


def upstream_shape(meta: betterproto2.FieldMetadata) -> dict[str, object]:
    return {
        "number": meta.number,
        "kind": meta.proto_type,
        "entry": [(part.number, part.proto_type) for part in meta.map_meta or ()],
        "repeated": meta.repeated,
        "oneof": meta.group,
    }


@pytest.mark.parametrize(
    ("mine", "theirs"), [pytest.param(*pair, id=pair[0].name) for pair in all_messages()]
)
def test_every_field_has_the_number_and_type_it_has_upstream(
    mine: Descriptor, theirs: UpstreamType
) -> None:
    found = {field.name: shape(field) for field in mine.fields}
    fields = theirs()._betterproto.meta_by_field_name
    left_out = LEFT_OUT.get(mine.name, set())
    assert found == {
        name: upstream_shape(meta) for name, meta in fields.items() if name not in left_out
    }
    assert left_out <= fields.keys()


def test_no_message_of_ours_escapes_the_comparison() -> None:
    def declared(messages: Any) -> Iterator[str]:
        for message in messages:
            if not message.GetOptions().map_entry:
                yield message.full_name
                yield from declared(message.nested_types)

    compared = {mine.full_name for mine, _ in all_messages()}
    assert set(declared(ours.DESCRIPTOR.message_types_by_name.values())) == compared


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (ours.HeaderValueOption.HeaderAppendAction, core.HeaderValueOptionHeaderAppendAction),
        (ours.SocketAddress.Protocol, core.SocketAddressProtocol),
    ],
)
def test_enums_have_the_values_they_have_upstream(mine: Any, theirs: Any) -> None:
    assert dict(mine.items()) == {value.name: value.value for value in theirs}


def test_the_method_has_the_path_that_envoy_calls() -> None:
    (service,) = ours.DESCRIPTOR.services_by_name.values()
    (method,) = service.methods
    assert f"/{service.full_name}/{method.name}" in upstream.AuthorizationBase().__mapping__()


TEXT = st.text(max_size=8)
PLAIN: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
}


def structs() -> st.SearchStrategy[struct_pb2.Struct]:
    leaves = st.none() | st.booleans() | st.integers(-1000, 1000) | TEXT
    values = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    )

    def build(fields: dict[str, Any]) -> struct_pb2.Struct:
        struct = struct_pb2.Struct()
        struct.update(fields)
        return struct

    return st.dictionaries(TEXT, values, max_size=3).map(build)


WELL_KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "google.protobuf.BoolValue": st.booleans().map(
        lambda value: wrappers_pb2.BoolValue(value=value)
    ),
    "google.protobuf.Struct": structs(),
    "google.protobuf.Timestamp": st.integers(0, 2**32).map(
        lambda seconds: timestamp_pb2.Timestamp(seconds=seconds)
    ),
}


def values_of(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.full_name in NUMBERS_FOR_ENUMS:
        return st.sampled_from([0, 200, 204, 307, 400, 401, 403, 404, 503])
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.message_type is not None:
        return messages_of(message_factory.GetMessageClass(field.message_type))
    return PLAIN[field.type]


def messages_of(mine: type[Message]) -> st.SearchStrategy[Any]:
    """Messages of the type, any field set or not, at most one of each oneof."""
    if (name := descriptor(mine).full_name) in WELL_KNOWN:
        return WELL_KNOWN[name]

    @st.composite
    def build(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Message:
        chosen: dict[str, Any] = {}
        for field in descriptor(mine).fields:
            if draw(st.booleans()):
                continue
            if entry := map_entry(field):
                value = values_of(entry.fields_by_name["value"])
                chosen[field.name] = draw(st.dictionaries(TEXT, value, max_size=3))
            elif field.is_repeated:
                chosen[field.name] = draw(st.lists(values_of(field), max_size=3))
            elif field.containing_oneof is None or not any(
                sibling.name in chosen for sibling in field.containing_oneof.fields
            ):
                chosen[field.name] = draw(values_of(field))
        return mine(**chosen)

    return build()


def as_json(message: betterproto2.Message) -> Any:
    """The JSON form of an upstream message, with HTTP statuses as numbers."""

    def numbered(value: Any) -> Any:
        if isinstance(value, list):
            return [numbered(element) for element in value]
        if not isinstance(value, dict):
            return value
        return {
            key: {"code": types.StatusCode[inner["code"]].value}
            if key == "status" and isinstance(inner.get("code"), str)
            else numbered(inner)
            for key, inner in value.items()
        }

    return numbered(message.to_dict())


def assert_same_on_the_wire(mine: Message, theirs: UpstreamType) -> None:
    read = theirs.parse(mine.SerializeToString())
    assert as_json(read) == json_format.MessageToDict(mine)
    assert type(mine).FromString(bytes(read)) == mine


@settings(max_examples=50)
@given(messages_of(ours.CheckRequest))
def test_any_request_means_the_same_to_both(request: ours.CheckRequest) -> None:
    assert_same_on_the_wire(request, upstream.CheckRequest)


# `append` is deprecated; that it stays readable is the promise here.
@pytest.mark.filterwarnings("ignore:HeaderValueOption.append is deprecated:DeprecationWarning")
@settings(max_examples=50)
@given(messages_of(ours.CheckResponse))
def test_any_response_means_the_same_to_both(response: ours.CheckResponse) -> None:
    assert_same_on_the_wire(response, upstream.CheckResponse)
