"""Measurements as Prometheus reads them: the text formats of `prometheus_client`, from values without its types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from porter.telemetry.instruments import Instruments

PREFIX = "porter_"
OPENMETRICS_TYPE = "application/openmetrics-text"


class Measured(NamedTuple):
    """One metric: its name without `PREFIX` (and without the `_total` of a counter), what it says, and its samples.

    A sample is the values of `labels`, in their order, and the number.
    """

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    labels: tuple[str, ...]
    samples: tuple[tuple[tuple[str, ...], float], ...]


class _Measurements(Collector):
    def __init__(self, measured: Iterable[Measured]) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        for name, kind, text, labels, samples in self._measured:
            make = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
            family = make(PREFIX + name, text, labels=labels)
            for values, number in samples:
                family.add_metric(values, number)
            yield family


def expose(
    measured: Iterable[Measured], accepts: str = "", instruments: Instruments | None = None
) -> tuple[bytes, str]:
    """The exposition and its content type: OpenMetrics where the request's `Accept` asks for it, else Prometheus' own.

    Only OpenMetrics carries the exemplars of the instruments.

    Raises:
        ValueError: a name or a label is none that Prometheus takes.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Measurements(tuple(measured)))
    if instruments is not None:
        registry.register(instruments.registry)
    if OPENMETRICS_TYPE in accepts:
        body: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return body, openmetrics.CONTENT_TYPE_LATEST
    return exposition.generate_latest(registry), exposition.CONTENT_TYPE_LATEST
