"""What reads the metrics, built from the settings."""

from __future__ import annotations

from pathlib import Path

from sluice.errors import UsageError
from sluice.loops.own_metrics import OwnMetrics
from sluice.loops.settings import PrometheusSettings
from sluice.metrics.answers import AnswerObserver
from sluice.metrics.client import Access, PrometheusClient, Timeouts
from sluice.metrics.dialects import Labels, dialect_named
from sluice.metrics.kit import KitSource
from sluice.metrics.observe import Observer


def build_observers(
    settings: PrometheusSettings, interval: float, own: OwnMetrics
) -> tuple[Observer, AnswerObserver]:
    """Of requests and of answers, both of the configured Prometheus.

    Raises UsageError for an unknown dialect.
    """
    labels, client = _labels(settings), _client(settings, own)
    try:
        dialect = dialect_named(settings.dialect, labels)
    except ValueError as error:
        raise UsageError(f"--dialect: {error}") from error
    return (
        Observer(client, dialect, interval=interval),
        AnswerObserver(client, labels, interval=interval),
    )


def build_kit_source(settings: PrometheusSettings, own: OwnMetrics) -> KitSource:
    """The model kit's series there, by a client of its own: clients are not for two threads."""
    return KitSource(_client(settings, own), _labels(settings))


def _labels(settings: PrometheusSettings) -> Labels:
    return Labels(namespace=settings.namespace_label, pod=settings.pod_label)


def _client(settings: PrometheusSettings, own: OwnMetrics) -> PrometheusClient:
    def observe(seconds: float, kind: str) -> None:
        own.queries.inc()
        own.query_seconds.observe(seconds)
        if kind:
            own.query_errors.labels(kind).inc()

    access = Access(
        token_file=Path(settings.token_file) if settings.token_file else None,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        headers=settings.headers,
    )
    return PrometheusClient(
        settings.url,
        access=access,
        timeouts=Timeouts(connect=min(3.0, settings.timeout), read=settings.timeout),
        observe=observe,
    )
