"""Puts the counters on Seldon's metrics page, with the labels a model's own metrics have."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

from sluice_model.board import Board
from sluice_model.series import HELP, Plan

_LOG = logging.getLogger("sluice_model")
_sources: list[Source] = []
_install = threading.Lock()


class Source:
    """What one observed model exports: live counters, the reference, the line of the profile."""

    def __init__(self, plan: Plan, board: Board) -> None:
        self.plan, self._board = plan, board

    def families(self, common: dict[str, str]) -> Iterator[Any]:
        """Metric families of prometheus_client."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        profile = self.plan.profile
        live = [
            (CounterMetricFamily, series, value)
            for series, value in zip(self.plan.live, self._board.sums(), strict=True)
        ]
        fixed = [(GaugeMetricFamily, series, float(count)) for series, count in self.plan.reference]
        made: dict[str, Any] = {}
        for kind, series, value in live + fixed:
            family = made.get(series.family)
            names = [*series.labels, *common]
            if family is None:
                family = kind(series.family, HELP[series.family], labels=names)
                made[series.family] = family
            family.add_metric([*series.labels.values(), *common.values()], value)
        yield from made.values()
        info = {
            "profile": profile.hash,
            "bins": profile.bins_hash,
            "model": profile.name,
            "profile_version": profile.version,
            **common,
        }
        name = "sluice_model_profile_info"
        line = GaugeMetricFamily(name, HELP[name], labels=list(info))
        line.add_metric(list(info.values()), 1.0)
        yield line


def export(source: Source) -> None:
    """Show this source on the metrics port of the server that is about to start.

    Raises ImportError or AttributeError where seldon_core is not there, or not as expected.
    """
    from seldon_core import metrics

    with _install:
        _sources.append(source)
        if getattr(metrics.SeldonMetrics.collect, "of_sluice", False):
            return
        theirs = metrics.SeldonMetrics.collect
        common = {name: str(value) for name, value in metrics.DEFAULT_LABELS.items()}

        def collect(self: Any) -> Iterator[Any]:
            yield from theirs(self)
            for one in list(_sources):
                try:
                    yield from one.families({**common, **self._extra_default_labels})
                except Exception:
                    _LOG.exception("the model kit's metrics could not be shown")

        collect.of_sluice = True  # type: ignore[attr-defined]
        metrics.SeldonMetrics.collect = collect
