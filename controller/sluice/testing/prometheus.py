"""A Prometheus inside the process: counters to turn up, scrapes at chosen moments, outages.

It understands the forms of query that Sluice sends, not PromQL; other queries are answered from
`answers`, or refused as Prometheus refuses what it cannot parse.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter

from sluice.clock import Clock
from sluice.evidence.bank import EDGES

URL = "http://prometheus.test"
METRIC = "seldon_api_executor_server_requests_seconds"
STALE_SECONDS = 300.0
MOST_POINTS = 11_000
"""What Prometheus gives in one answer over a range."""

_Labels = tuple[tuple[str, str], ...]
_Pick = Callable[[_Labels, float], tuple[float, float] | None]

_AGGREGATION = re.compile(r"(sum|max|count)(?: by \(([^)]*)\))? ?\((.*)\)")
_LAST = re.compile(r"last_over_time\((.*)\[(\d+)s\]\)")
_SELECTOR = re.compile(r"(\w+)(?:\{(.*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')


class FakePrometheus:
    """Give `adapter()` to a `PrometheusClient` for `url`.

    With a clock and `scrape_seconds` it scrapes by itself at multiples of that time; without, when
    told to. Settable: `down` (connections are refused), `hangs` (they time out), `status` (an HTTP
    status with which it refuses everything), `warnings`, `answers` (PromQL -> result elements),
    `unreachable` (pods whose scrapes fail), `refuses_ranges`, `refuses` (queries with this text in
    them are refused, "" none). `queries`, `range_queries` (how many)
    and `headers` keep what was asked.
    """

    url = URL

    def __init__(self, clock: Clock | None = None, scrape_seconds: float | None = None) -> None:
        self.down = False
        self.hangs = False
        self.status = 200
        self.warnings: list[str] = []
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.unreachable: set[str] = set()
        self.refuses_ranges = False
        self.refuses = ""
        self.range_queries = 0
        self.queries: list[str] = []
        self.headers: dict[str, str] = {}
        self._clock = clock
        self._scrape_seconds = scrape_seconds
        self._scraped_until = clock.now() if clock else 0.0
        self._counters: dict[str, dict[tuple[str, _Labels], float]] = defaultdict(dict)
        self._samples: dict[str, dict[_Labels, list[tuple[float, float | None]]]] = {}

    def adapter(self) -> BaseAdapter:
        """The transport."""
        return _Transport(self)

    def answered(
        self,
        namespace: str,
        deployment: str,
        predictor: str,
        n: float = 1,
        *,
        pod: str = "",
        code: str = "200",
        seconds: float = 0.02,
        service: str = "predictions",
        edges: Iterable[float] = EDGES,
    ) -> None:
        """Let a pod (default: `<deployment>-<predictor>-0`) answer `n` requests.

        As the Seldon executor counts them; use gRPC's words and service for gRPC. `n` of 0 makes
        the series appear.
        """
        pod = pod or f"{deployment}-{predictor}-0"
        labels = {
            "namespace": namespace,
            "deployment_name": deployment,
            "predictor_name": predictor,
            "predictor_version": "",
            "service": service,
            "method": "unary" if service.startswith("/") else "post",
            "code": code,
        }
        self.count(pod, f"{METRIC}_count", labels, n)
        for edge in edges:
            bucket = {**labels, "le": f"{edge:g}"}
            self.count(pod, f"{METRIC}_bucket", bucket, n if seconds <= edge else 0)
        self.count(pod, f"{METRIC}_bucket", {**labels, "le": "+Inf"}, n)

    def count(self, pod: str, metric: str, labels: Mapping[str, str], amount: float) -> None:
        """Add to any counter of a pod, NaN included."""
        self._catch_up()
        key = (metric, tuple(sorted({**labels, "pod": pod}.items())))
        self._counters[pod][key] = self._counters[pod].get(key, 0.0) + amount

    def restart_pod(self, pod: str) -> None:
        """Its process starts anew, without any series."""
        self._catch_up()
        self._counters[pod] = {}

    def remove_pod(self, pod: str) -> None:
        """It goes for good."""
        self._catch_up()
        self._counters.pop(pod, None)

    def now(self) -> float:
        """Its own clock: the one it was given, else the time of the newest scrape."""
        if self._clock is not None:
            return self._clock.now()
        return max(
            (samples[-1][0] for found in self._samples.values() for samples in found.values()),
            default=0.0,
        )

    def scrape(self, at: float, pods: Iterable[str] | None = None) -> None:
        """Store what the pods (default: all) show at Unix time `at`."""
        chosen = None if pods is None else set(pods)
        shown: dict[tuple[str, _Labels], float] = {}
        for pod, counters in self._counters.items():
            if chosen is not None and pod not in chosen:
                continue
            reached = pod not in self.unreachable
            shown["up", self._target_labels(pod)] = float(reached)
            if reached:
                shown.update(counters)
        for (metric, labels), value in shown.items():
            self._samples.setdefault(metric, {}).setdefault(labels, []).append((at, value))
        for metric, series in self._samples.items():
            for labels, samples in series.items():
                gone = (metric, labels) not in shown
                if gone and (chosen is None or dict(labels)["pod"] in chosen):
                    samples.append((at, None))

    def _target_labels(self, pod: str) -> _Labels:
        """Those of `up`: the pod, and its namespace where one of its counters has it."""
        spaces = {dict(labels).get("namespace", "") for _, labels in self._counters[pod]}
        named = [("namespace", space) for space in sorted(spaces) if space][:1]
        return (*named, ("pod", pod))

    def lose_data(self) -> None:
        """Forget all samples, as after a restart on an empty disk."""
        self._samples = {}

    def _catch_up(self) -> None:
        if self._clock is None or not self._scrape_seconds:
            return
        step = self._scrape_seconds
        while (next_at := (self._scraped_until // step + 1) * step) <= self._clock.now():
            self._scraped_until = next_at
            if not self.down:
                self.scrape(next_at)

    def evaluate(self, promql: str, at: float) -> list[dict[str, Any]]:
        """The result elements of an instant query. Raises ValueError for an unknown form."""
        self._catch_up()
        if promql in self.answers:
            return self.answers[promql]
        if promql == "vector(time())":
            return [_element({}, at, at)]
        if promql.startswith("count(") and promql.endswith(")"):
            inner = self.evaluate(promql[len("count(") : -1], at)
            return [_element({}, at, float(len(inner)))] if inner else []
        if grouped := _AGGREGATION.fullmatch(promql):
            return self._aggregate(grouped[1], (grouped[2] or "").split(", "), grouped[3], at)
        if last := _LAST.fullmatch(promql):
            return self._select(last[1], at, float(last[2]))
        if promql.startswith("timestamp(") and promql.endswith(")"):
            return self._select(promql[len("timestamp(") : -1], at, None, times=True)
        return self._select(promql, at, None)

    def evaluate_range(
        self, promql: str, start: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        """The result elements of a range query. Raises ValueError as `evaluate`."""
        points = int((end - start) / step + 1e-6) + 1
        if points > MOST_POINTS:
            raise ValueError("exceeded maximum resolution of 11,000 points per timeseries")
        found: dict[_Labels, list[Any]] = {}
        for i in range(points):
            for element in self.evaluate(promql, round(start + i * step, 3)):
                key = tuple(sorted(element["metric"].items()))
                found.setdefault(key, []).append(element["value"])
        return [{"metric": dict(key), "values": values} for key, values in found.items()]

    def _aggregate(self, how: str, by: list[str], inner: str, at: float) -> list[dict[str, Any]]:
        groups: dict[_Labels, list[float]] = defaultdict(list)
        for element in self.evaluate(inner, at):
            labels = element["metric"]
            key = tuple((name, labels[name]) for name in sorted(by) if labels.get(name))
            groups[key].append(float(element["value"][1]))
        combine: dict[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "count": len}
        return [_element(dict(key), at, combine[how](found)) for key, found in groups.items()]

    def _select(
        self, selector: str, at: float, window: float | None, *, times: bool = False
    ) -> list[dict[str, Any]]:
        parsed = _SELECTOR.fullmatch(selector)
        if parsed is None:
            raise ValueError(f"parse error: unexpected {selector!r}")
        matchers = [
            (name, how, re.sub(r"\\(.)", r"\1", text))
            for name, how, text in _MATCHER.findall(parsed[2] or "")
        ]
        elements = []
        for labels, samples in self._samples.get(parsed[1], {}).items():
            known = dict(labels)
            if not all(_matches(known.get(name, ""), how, text) for name, how, text in matchers):
                continue
            if (found := _latest(samples, at, window)) is not None:
                elements.append(_element(known, at, found[0] if times else found[1]))
        return elements


def _matches(value: str, how: str, text: str) -> bool:
    equal = value == text if how in ("=", "!=") else re.fullmatch(text, value) is not None
    return equal != how.startswith("!")


def _latest(
    samples: list[tuple[float, float | None]], at: float, window: float | None
) -> tuple[float, float] | None:
    """Time and value: without a window, a series that ended is not found; with one, it is."""
    oldest = at - (STALE_SECONDS if window is None else window)
    for time, value in reversed(samples):
        if time > at:
            continue
        if time <= oldest or (value is None and window is None):
            return None
        if value is not None:
            return time, value
    return None


def _element(labels: dict[str, str], at: float, value: float) -> dict[str, Any]:
    text = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(str(value), repr(value))
    return {"metric": labels, "value": [at, text]}


class _Transport(BaseAdapter):
    def __init__(self, prometheus: FakePrometheus) -> None:
        super().__init__()
        self._prometheus = prometheus

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **_: object
    ) -> requests.Response:
        fake = self._prometheus
        parsed = urlsplit(str(request.url))
        given = {name: values[0] for name, values in parse_qs(parsed.query).items()}
        fake.queries.append(given["query"])
        fake.headers = dict(request.headers)
        if fake.hangs:
            raise requests.ReadTimeout("no answer", request=request)
        if fake.down:
            raise requests.ConnectionError("connection refused", request=request)
        status, body = fake.status, {"status": "error", "error": "told to refuse"}
        if status == 200:
            status, body = self._answer(given, of_range=parsed.path.endswith("/query_range"))
        answer = requests.Response()
        answer.status_code = status
        answer._content = json.dumps(body).encode()
        answer.url, answer.request = str(request.url), request
        return answer

    def _answer(self, given: dict[str, str], *, of_range: bool) -> tuple[int, dict[str, Any]]:
        fake, promql = self._prometheus, given["query"]
        if fake.refuses and fake.refuses in promql:
            return 422, {"status": "error", "error": f"told to refuse what asks for {fake.refuses}"}
        try:
            if of_range:
                fake.range_queries += 1
                if fake.refuses_ranges:
                    return 422, {"status": "error", "error": "no range queries here"}
                span = float(given["start"]), float(given["end"]), float(given["step"])
                data = {"resultType": "matrix", "result": fake.evaluate_range(promql, *span)}
            else:
                at = float(given["time"]) if "time" in given else fake.now()
                result = fake.evaluate(promql, at)
                data = {"resultType": "vector", "result": result}
        except ValueError as error:
            return 400, {"status": "error", "errorType": "bad_data", "error": str(error)}
        return 200, {"status": "success", "data": data, "warnings": self._prometheus.warnings}

    def close(self) -> None:
        """Nothing is open."""
