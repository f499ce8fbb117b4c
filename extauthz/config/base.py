"""What every part of the settings has in common, and the parts used by several."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from extauthz.core.claims import Scalar

from .values import ClaimName, Text, shown, wrong


def written(value: object) -> Any:
    """A default as a person would write it, to be parsed like any other value."""
    return value


class Part(BaseModel):
    """A part of the settings: frozen, exact about types, and closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )


def _as_values(value: object) -> object:
    values = value if isinstance(value, tuple) else (value,)
    if not values:
        raise wrong("found an empty list", "at least one value that would do")
    return values


def _claim_value(value: object) -> object:
    if not isinstance(value, str | int | float):
        raise wrong(f"found {shown(value)}", "text, a number, true or false, or a list of such")
    if isinstance(value, float) and math.isnan(value):
        raise wrong(
            f"found {shown(value)}, which no claim equals", "a number that a token can hold"
        )
    return value


# Left as they are: in a union pydantic would try every member and report every failure.
ClaimValues = Annotated[
    tuple[Annotated[object, AfterValidator(_claim_value)], ...],
    BeforeValidator(_as_values, json_schema_input_type=Scalar | list[Scalar]),
]
ClaimConditions = dict[ClaimName, ClaimValues]


class TlsSettings(Part):
    """TLS of one listener; off unless both files are given."""

    cert_file: Text | None = Field(
        default=None, description="Certificate chain in PEM; read again when it changes."
    )
    key_file: Text | None = Field(default=None, description="Private key in PEM.")
    client_ca_file: Text | None = Field(
        default=None, description="CA of client certificates in PEM; given, they are required."
    )


class EdgeTlsSettings(Part):
    """TLS of the generated proxy's listener."""

    cert_file: Text | None = Field(
        default=None,
        description="Certificate chain in PEM: an absolute path on the machine of the proxy.",
    )
    key_file: Text | None = Field(
        default=None, description="Private key in PEM: an absolute path there."
    )
