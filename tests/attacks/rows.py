"""The whole table: importing the files of rows enters them."""

from __future__ import annotations

from tests.attacks import (
    algorithms,
    bodies,
    claims,
    encoding,
    http_credentials,
    http_requests,
    key_sets,
    offered_keys,
    signatures,
    structure,
    substitution,
)
from tests.attacks.table import ROWS

__all__ = ["ROWS"]

_FILES = (
    algorithms, bodies, claims, encoding, http_credentials, http_requests, key_sets, offered_keys,
    signatures, structure, substitution,
)  # fmt: skip
