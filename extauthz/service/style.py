"""From the settings of the log to how decision lines look."""

from __future__ import annotations

from extauthz.config.load import Loaded
from extauthz.core.policy import Policy
from extauthz.telemetry.decision_log import LineStyle
from extauthz.telemetry.records import LEVELS
from extauthz.telemetry.replayable import InForce


def line_style(loaded: Loaded, policy: Policy) -> LineStyle:
    """What the operator wants of decision lines, and what they tell of the policy in force."""
    log = loaded.settings.log
    return LineStyle(LEVELS[log.level], log.allow_sample, log.subject, InForce.of(policy))
