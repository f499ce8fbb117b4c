"""Apart from ``native_door``, so that who catches this need not import what gRPC takes."""

from __future__ import annotations


class NativeMissing(Exception):
    """The package that ``listen.grpc_transport: native`` needs is not installed."""
