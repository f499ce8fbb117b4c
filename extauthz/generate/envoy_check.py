"""A second reader for Envoy's configuration: the API's own messages, as envoy-data-plane has them.

Needs the extra ``generate``. What it cannot see (values that contradict each other), only
``envoy --mode validate`` does.
"""

from __future__ import annotations

import importlib
import re
import warnings

import yaml

CURE = "pip install '.[generate]' in a clone"

_TYPE = re.compile(r'"@type": type\.googleapis\.com/([a-z0-9_.]+)\.[A-Z]')


class NoChecker(Exception):
    """envoy-data-plane is not installed; the message names the extra."""


def fault_of(text: str) -> str | None:
    """What does not fit the API in a bootstrap written as YAML; None when all of it fits.

    Raises NoChecker.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            bootstrap = importlib.import_module("envoy_data_plane.envoy.config.bootstrap.v3")
            for package in dict.fromkeys(_TYPE.findall(text)):
                importlib.import_module(f"envoy_data_plane.{package}")
    except ImportError as error:
        raise NoChecker(f"envoy-data-plane is not installed: {CURE}") from error
    # Our own text, and only looked at.
    document = yaml.load(text, yaml.CSafeLoader)  # noqa: TID251
    try:
        bootstrap.Bootstrap.from_dict(document)
    except Exception as error:  # noqa: BLE001  it raises whatever the field's parser raised
        return f"{type(error).__name__}: {error}"
    return None
