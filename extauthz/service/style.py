"""From the settings of the log to how decision lines look."""

from __future__ import annotations

from extauthz.config.load import Loaded
from extauthz.telemetry.decision_log import LineStyle
from extauthz.telemetry.records import LEVELS


def line_style(loaded: Loaded) -> LineStyle:
    """What the operator wants of decision lines."""
    log = loaded.settings.log
    return LineStyle(LEVELS[log.level], log.allow_sample, log.subject)
