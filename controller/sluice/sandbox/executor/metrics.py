"""The executor's request metrics, written in the Prometheus text format as the real one does.

Per kind (server: what callers got; client: what the model answered) one histogram and one summary.
A series exists from its first observation on: before that there is none, not a zero.
"""

from __future__ import annotations

import math
import os
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
QUANTILES = (0.5, 0.75, 0.9, 0.98, 0.99, 1.0)
# Quantiles are of the last ten minutes, and of no more than this many observations of them.
WINDOW_SECONDS = 600.0
WINDOW_LENGTH = 1000

_SERVER, _CLIENT = "server", "client"
_HELP = {_SERVER: "executor server", _CLIENT: "client calls from executor"}


class _Series:
    """One combination of labels."""

    def __init__(self, labels: str) -> None:
        self.labels = labels
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
        self.recent: deque[tuple[float, float]] = deque(maxlen=WINDOW_LENGTH)

    def observe(self, seconds: float, now: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds
        self.recent.append((now, seconds))

    def histogram(self, name: str) -> Iterator[str]:
        seen = 0
        for edge, count in zip((*BUCKETS, math.inf), self.counts, strict=True):
            seen += count
            yield f'{name}_bucket{{{self.labels},le="{_number(edge)}"}} {seen}'
        yield f"{name}_sum{{{self.labels}}} {_number(self.total)}"
        yield f"{name}_count{{{self.labels}}} {seen}"

    def summary(self, name: str, now: float) -> Iterator[str]:
        ordered = sorted(value for at, value in self.recent if now - at <= WINDOW_SECONDS)
        for quantile in QUANTILES:
            # Nearest rank, as far as the real one's sketch can be told apart from it.
            rank = math.ceil(quantile * len(ordered)) - 1
            value = ordered[max(rank, 0)] if ordered else math.nan
            yield f'{name}{{{self.labels},quantile="{_number(quantile)}"}} {_number(value)}'
        yield f"{name}_sum{{{self.labels}}} {_number(self.total)}"
        yield f"{name}_count{{{self.labels}}} {sum(self.counts)}"


class RequestMetrics:
    """Counts requests. Used from one event loop, so it needs no lock.

    `fixed` are labels that never change for a kind; `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        server_labels: Mapping[str, str],
        client_labels: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = {_SERVER: dict(server_labels), _CLIENT: dict(client_labels)}
        self._series: dict[tuple[str, str, str, str], _Series] = {}
        self._clock = clock

    def served(self, *, service: str, method: str, code: str, seconds: float) -> None:
        """One request of a caller was answered with `code`."""
        self._observe(_SERVER, service, method, code, seconds)

    def called(self, *, service: str, method: str, code: str, seconds: float) -> None:
        """The model answered one request with `code`."""
        self._observe(_CLIENT, service, method, code, seconds)

    def _observe(self, kind: str, service: str, method: str, code: str, seconds: float) -> None:
        key = (kind, code, method, service)
        series = self._series.get(key)
        if series is None:
            labels = self._fixed[kind] | {"code": code, "method": method, "service": service}
            text = ",".join(f'{name}="{_escaped(labels[name])}"' for name in sorted(labels))
            series = self._series[key] = _Series(text)
        series.observe(seconds, self._clock())

    def text(self) -> str:
        """Everything counted so far, then this process's own figures."""
        lines: list[str] = list(_process_lines())
        now = self._clock()
        for kind in (_CLIENT, _SERVER):
            found = sorted(key for key in self._series if key[0] == kind)
            if not found:
                continue
            name = f"seldon_api_executor_{kind}_requests_seconds"
            lines.append(f"# HELP {name} A histogram of latencies for {_HELP[kind]}")
            lines.append(f"# TYPE {name} histogram")
            for key in found:
                lines.extend(self._series[key].histogram(name))
            lines.append(f"# HELP {name}_summary A summary of latencies for {_HELP[kind]}")
            lines.append(f"# TYPE {name}_summary summary")
            for key in found:
                lines.extend(self._series[key].summary(f"{name}_summary", now))
        return "\n".join(lines) + "\n"


_STARTED = time.time()


def _process_lines() -> Iterator[str]:
    """The three process figures that dashboards use; the other 150 of a Go process are left out."""
    used = os.times()
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - a kernel file, read at every scrape
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    figures = (
        ("process_cpu_seconds_total", "counter", "CPU seconds used.", used.user + used.system),
        ("process_resident_memory_bytes", "gauge", "Resident memory in bytes.", resident),
        ("process_start_time_seconds", "gauge", "Start, in seconds since the epoch.", _STARTED),
    )
    for name, kind, text, value in figures:
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} {kind}"
        yield f"{name} {_number(value)}"


def _number(value: float) -> str:
    """A number as Go writes it: no trailing `.0`, infinity as +Inf."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    return text.removesuffix(".0")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
