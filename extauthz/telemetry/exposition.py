"""Metrics as Prometheus reads them, with the usual ones of processes and interpreter.

Apart from ``metrics`` because it takes a while to import and is not needed before the first
scrape.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from .counts import Histogram
from .metrics import OK, Metrics
from .processes import Processes


class Exposition:
    """Writes ``metrics`` down, each time with what there is at that moment."""

    def __init__(self, metrics: Metrics) -> None:
        self._registry = CollectorRegistry()
        register(metrics, self._registry)

    def gathered(self, accept: str) -> tuple[str, Callable[[], bytes]]:
        """Content type, and what writes the text, in the format that ``Accept`` prefers.

        Writing takes a while where there are many servers, and may be left to another thread:
        what is written is what there was when it was gathered.
        """
        encode, content_type = choose_encoder(accept)
        return content_type, partial(encode, _Gathered(tuple(self._registry.collect())))


class _Gathered(Collector):
    def __init__(self, families: tuple[Metric, ...]) -> None:
        self._families = families

    def collect(self) -> tuple[Metric, ...]:
        """The same metrics each time."""
        return self._families


class _Ours(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Every metric, with what there is at this moment."""
        counted = self._metrics
        yield _decisions(counted)
        yield _histograms(
            "extauthz_decision_duration_seconds",
            "Seconds a decision took, waiting for keys included.",
            "transport",
            counted.decisions.durations,
        )
        yield from _keys(counted)
        yield _counter(
            "extauthz_token_cache",
            "Tokens looked up in the memory of verified tokens.",
            "result",
            {"hit": 0, "miss": 0, **counted.token_cache()},
        )
        yield from _config(counted)
        yield CounterMetricFamily(
            "extauthz_log_dropped",
            "Log lines dropped because they could not be written, or not fast enough.",
            value=counted.dropped_lines(),
        )
        yield CounterMetricFamily(
            "extauthz_workers_lost",
            "Workers that died or hung; another one takes the place of each.",
            value=counted.lost_workers(),
        )
        build = GaugeMetricFamily(
            "extauthz_build_info", "What is running; always 1.", labels=("version", "python")
        )
        build.add_metric((counted.version, platform.python_version()), 1)
        yield build


def _decisions(counted: Metrics) -> Metric:
    family = CounterMetricFamily(
        "extauthz_decisions",
        "Requests judged.",
        labels=("server", "decision", "reason", "transport"),
    )
    for labels, count in dict(counted.decisions.by_key).items():
        family.add_metric(labels, count)
    return family


def _keys(counted: Metrics) -> Iterator[Metric]:
    refreshes = CounterMetricFamily(
        "extauthz_jwks_refresh",
        "Attempts to refresh an issuer's keys.",
        labels=("issuer", "result"),
    )
    for labels, count in dict(counted.refreshes).items():
        refreshes.add_metric(labels, count)
    yield refreshes
    yield _histograms(
        "extauthz_jwks_fetch_duration_seconds",
        "Seconds an attempt to refresh an issuer's keys took, discovery included.",
        "issuer",
        counted.fetches,
    )
    age = GaugeMetricFamily(
        "extauthz_jwks_age_seconds",
        "Seconds since the issuer last confirmed the keys in use.",
        labels=("issuer",),
    )
    held = GaugeMetricFamily(
        "extauthz_jwks_keys", "Usable keys held of the issuer.", labels=("issuer",)
    )
    for issuer in counted.keys():  # noqa: SIM118  a function that tells, not a mapping
        held.add_metric((issuer.name,), len(issuer.keys))
        if issuer.age_seconds is not None:
            age.add_metric((issuer.name,), issuer.age_seconds)
    yield age
    yield held


def _config(counted: Metrics) -> Iterator[Metric]:
    yield _counter(
        "extauthz_config_reload",
        "Attempts to take a changed configuration.",
        "result",
        counted.reloads,
    )
    yield GaugeMetricFamily(
        "extauthz_config_last_reload_successful",
        "1 while the configuration in use is the newest; 0 while a bad one waits to be mended.",
        value=float(counted.last_reload == OK),
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
    """Add ours and the usual metrics of processes, interpreter and garbage collector."""
    registry.register(_Ours(metrics))
    registry.register(Processes(metrics))
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
