"""The usual metrics of a process, with what its workers take added to what it takes itself."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from .metrics import Metrics


class Processes(Collector):
    """Processor time and resident memory of all processes; the rest is of this one."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._own = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        """The metrics, with what there is at this moment."""
        usage = self._metrics.workers()
        more = {
            "process_cpu_seconds": usage.cpu_seconds,
            "process_resident_memory_bytes": usage.resident_bytes,
        }
        for family in self._own.collect():
            added = more.get(family.name, 0)
            family.samples = [one._replace(value=one.value + added) for one in family.samples]
            yield family
