"""The metrics of contract section 10, as one collector of a registry that is passed in.

Labels are bounded: configured names, the closed list of reasons, the doors. Never a
subject, a client or anything of a token.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .counts import FETCH_BOUNDS, DecisionCounts, Histogram

OK: Final = "ok"
FAILED: Final = "failed"


class IssuerKeys(Protocol):
    """One issuer's keys as they are now: what ``extauthz.keys`` tells of them.

    ``age_seconds`` counts from the last time the issuer served them, None before the first.
    """

    @property
    def name(self) -> str:
        """The issuer's name."""

    @property
    def keys(self) -> Sized:
        """The usable keys."""

    @property
    def age_seconds(self) -> float | None:
        """Their age."""


class Metrics(Collector):
    """Everything that is counted or measured, readable by Prometheus.

    What others know is asked for when scraped: ``keys``, ``token_cache`` (times by
    result, ``hit`` or ``miss``, since the start) and ``dropped_lines``.
    """

    def __init__(self, *, version: str) -> None:
        self.decisions = DecisionCounts()
        self.keys: Callable[[], Iterable[IssuerKeys]] = tuple
        self.token_cache: Callable[[], Mapping[str, int]] = dict
        self.dropped_lines: Callable[[], int] = int
        self._version = version
        self._refreshes: dict[tuple[str, str], int] = {}
        self._fetches: dict[str, Histogram] = {}
        self._reloads = {OK: 0, FAILED: 0}
        self._last_reload = OK

    def refreshed(self, issuer: str, result: str, seconds: float) -> None:
        """Count one attempt to refresh an issuer's keys that took ``seconds``."""
        key = (issuer, result)
        self._refreshes[key] = self._refreshes.get(key, 0) + 1
        self._fetches.setdefault(issuer, Histogram(FETCH_BOUNDS)).observe(seconds)

    def keys_changed(self, issuer: str, keys: int) -> None:
        """Nothing to do: the gauges ask when they are scraped."""

    def reloaded(self, ok: bool) -> None:
        """Count one attempt to take a changed configuration; a bad one keeps the old."""
        self._last_reload = OK if ok else FAILED
        self._reloads[self._last_reload] += 1

    def collect(self) -> Iterator[Metric]:
        """Every metric, with what there is at this moment."""
        yield self._decisions()
        yield _histograms(
            "extauthz_decision_duration_seconds",
            "Seconds a decision took, waiting for keys included.",
            "transport",
            self.decisions.durations,
        )
        yield from self._keys()
        yield _counter(
            "extauthz_token_cache",
            "Tokens looked up in the memory of verified tokens.",
            "result",
            {"hit": 0, "miss": 0, **self.token_cache()},
        )
        yield from self._config()
        yield CounterMetricFamily(
            "extauthz_log_dropped",
            "Log lines dropped because they could not be written fast enough.",
            value=self.dropped_lines(),
        )
        build = GaugeMetricFamily(
            "extauthz_build_info", "What is running; always 1.", labels=("version", "python")
        )
        build.add_metric((self._version, platform.python_version()), 1)
        yield build

    def _decisions(self) -> Metric:
        family = CounterMetricFamily(
            "extauthz_decisions",
            "Requests judged.",
            labels=("server", "decision", "reason", "transport"),
        )
        for labels, count in dict(self.decisions.by_key).items():
            family.add_metric(labels, count)
        return family

    def _keys(self) -> Iterator[Metric]:
        refreshes = CounterMetricFamily(
            "extauthz_jwks_refresh",
            "Attempts to refresh an issuer's keys.",
            labels=("issuer", "result"),
        )
        for labels, count in dict(self._refreshes).items():
            refreshes.add_metric(labels, count)
        yield refreshes
        yield _histograms(
            "extauthz_jwks_fetch_duration_seconds",
            "Seconds an attempt to refresh an issuer's keys took, discovery included.",
            "issuer",
            self._fetches,
        )
        age = GaugeMetricFamily(
            "extauthz_jwks_age_seconds",
            "Seconds since the issuer last confirmed the keys in use.",
            labels=("issuer",),
        )
        held = GaugeMetricFamily(
            "extauthz_jwks_keys", "Usable keys held of the issuer.", labels=("issuer",)
        )
        for issuer in self.keys():
            held.add_metric((issuer.name,), len(issuer.keys))
            if issuer.age_seconds is not None:
                age.add_metric((issuer.name,), issuer.age_seconds)
        yield age
        yield held

    def _config(self) -> Iterator[Metric]:
        yield _counter(
            "extauthz_config_reload",
            "Attempts to take a changed configuration.",
            "result",
            self._reloads,
        )
        yield GaugeMetricFamily(
            "extauthz_config_last_reload_successful",
            "1 while the configuration in use is the newest; 0 while a bad one waits to be mended.",
            value=float(self._last_reload == OK),
        )


def _counter(name: str, purpose: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, purpose, labels=(label,))
    for value, count in dict(values).items():
        family.add_metric((value,), count)
    return family


def _histograms(name: str, purpose: str, label: str, values: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, purpose, labels=(label,))
    for value, histogram in dict(values).items():
        family.add_metric((value,), histogram.cumulative(), histogram.total)
    return family


def register(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Add ours and the usual metrics of process, interpreter and garbage collector."""
    registry.register(metrics)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
