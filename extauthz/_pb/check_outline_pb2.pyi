from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CheckOutline(_message.Message):
    __slots__ = ("attributes",)
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: AttributesOutline
    def __init__(self, attributes: _Optional[_Union[AttributesOutline, _Mapping]] = ...) -> None: ...

class AttributesOutline(_message.Message):
    __slots__ = ("request", "context_extensions", "metadata_context")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
    METADATA_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    request: RequestOutline
    context_extensions: _containers.RepeatedScalarFieldContainer[bytes]
    metadata_context: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, request: _Optional[_Union[RequestOutline, _Mapping]] = ..., context_extensions: _Optional[_Iterable[bytes]] = ..., metadata_context: _Optional[_Iterable[bytes]] = ...) -> None: ...

class RequestOutline(_message.Message):
    __slots__ = ("http",)
    HTTP_FIELD_NUMBER: _ClassVar[int]
    http: HttpOutline
    def __init__(self, http: _Optional[_Union[HttpOutline, _Mapping]] = ...) -> None: ...

class HttpOutline(_message.Message):
    __slots__ = ("method", "headers", "path", "host", "body", "raw_body", "header_map")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    RAW_BODY_FIELD_NUMBER: _ClassVar[int]
    HEADER_MAP_FIELD_NUMBER: _ClassVar[int]
    method: str
    headers: _containers.RepeatedScalarFieldContainer[bytes]
    path: str
    host: str
    body: bytes
    raw_body: bytes
    header_map: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, method: _Optional[str] = ..., headers: _Optional[_Iterable[bytes]] = ..., path: _Optional[str] = ..., host: _Optional[str] = ..., body: _Optional[bytes] = ..., raw_body: _Optional[bytes] = ..., header_map: _Optional[_Iterable[bytes]] = ...) -> None: ...
