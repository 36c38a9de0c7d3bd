"""The executors of all rollouts in one process: their counters, under a steady made-up load.

    python -m bench.exporter --port P --rollouts N --namespace NS --stable v1 --candidate v2

Serves /metrics, and takes orders by GET: /candidates (they get their share from now on), /fail?n=5
(the first 5 candidates, from just after the next scrape on, so that the one after it, the
first bad scrape, has a whole interval of failures), /switches (when that was, and all scrapes).
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

from sluice.evidence.bank import EDGES

METRIC = "seldon_api_executor_server_requests_seconds"
REQUESTS_PER_SECOND = 50.0
"""So many that two reads with failures are harm: the time measured is not that of collecting."""
CANDIDATE_SHARE = 0.2
FAILED_SHARE = 0.002
"""Of either side as long as all is well: both codes have series, as in a real fleet."""
_REACHED = [min(1.0, 0.2 + 0.1 * i) for i in range(len(EDGES))] + [1.0]
"""Share of requests up to each latency edge and in all: the same on both sides."""


@dataclass
class Switch:
    """From when on the first `rollouts` candidates only fail, and when that was first scraped."""

    rollouts: int
    at: float = 0.0
    first_bad_scrape: float = 0.0


@dataclass
class Pod:
    """One pod's text with places for its numbers, and what decides these."""

    text: str
    rollout: int
    candidate: bool
    pods: int


def pod_text(labels: str) -> str:
    """Buckets and count of both codes, `%d` where a number goes."""
    lines = []
    for code in ("200", "500"):
        both = f'{labels},code="{code}"'
        lines += [f'{METRIC}_bucket{{{both},le="{edge:g}"}} %d' for edge in EDGES]
        lines.append(f'{METRIC}_bucket{{{both},le="+Inf"}} %d')
        lines.append(f"{METRIC}_count{{{both}}} %d")
    return "\n".join(lines) + "\n"


def pods_of(rollouts: int, namespace: str, stable: str, candidate: str) -> list[Pod]:
    """Every second rollout has two pods on each side, the others one."""
    found = []
    for rollout in range(rollouts):
        pods = 1 + rollout % 2
        for predictor in (stable, candidate):
            for pod in range(pods):
                name = f"r{rollout}"
                labels = (
                    f'namespace="{namespace}",pod="{name}-{predictor}-{pod}",'
                    f'deployment_name="{name}",predictor_name="{predictor}",'
                    'predictor_version="",service="predictions",method="post"'
                )
                found.append(Pod(pod_text(labels), rollout, predictor == candidate, pods))
    return found


class Load:
    """The state of all counters as a function of time."""

    def __init__(self, pods: list[Pod]) -> None:
        self._pods = pods
        self._began = time.time()
        self._candidates_since: float | None = None
        self._switches: list[Switch] = []
        self._scrapes: list[float] = []
        self._lock = threading.Lock()

    def start_candidates(self) -> None:
        """The candidates get their share from now on."""
        with self._lock:
            self._candidates_since = time.time()

    def fail(self, rollouts: int) -> None:
        """The first `rollouts` candidates fail from just after the next scrape on."""
        with self._lock:
            self._switches.append(Switch(rollouts))

    def switches(self) -> dict[str, object]:
        """When each switch took effect and was scraped (0: not yet), and the last scrapes."""
        with self._lock:
            switches = [vars(switch).copy() for switch in self._switches]
            return {"switches": switches, "scrapes": self._scrapes[-200:]}

    def metrics(self) -> str:
        """One scrape."""
        with self._lock:
            now = time.time()
            self._scrapes.append(now)
            for switch in self._switches:
                if switch.at and not switch.first_bad_scrape:
                    switch.first_bad_scrape = now
            text = self._text(now)
            for switch in self._switches:
                switch.at = switch.at or time.time()
        return text

    def _text(self, now: float) -> str:
        known: dict[tuple[int, bool, float], tuple[int, ...]] = {}
        parts = []
        for pod in self._pods:
            if pod.candidate and self._candidates_since is None:
                continue
            failing = self._failing_since(pod) if pod.candidate else 0.0
            key = (pod.pods, pod.candidate, failing)
            if key not in known:
                known[key] = self._numbers(now, *key)
            parts.append(pod.text % known[key])
        return "".join(parts)

    def _failing_since(self, pod: Pod) -> float:
        times = [s.at for s in self._switches if s.at and pod.rollout < s.rollouts]
        return min(times, default=0.0)

    def _numbers(self, now: float, pods: int, candidate: bool, failing: float) -> tuple[int, ...]:
        share = CANDIDATE_SHARE if candidate else 1 - CANDIDATE_SHARE
        began = (self._candidates_since or now) if candidate else self._began
        rate = REQUESTS_PER_SECOND * share / pods
        well = rate * ((failing or now) - began)
        failed = well * FAILED_SHARE + (rate * (now - failing) if failing else 0.0)
        numbers: list[int] = []
        for count in (int(well * (1 - FAILED_SHARE)), int(failed)):
            numbers += [int(count * reached) for reached in _REACHED]
            numbers.append(count)
        return tuple(numbers)


def serve(load: Load, port: int) -> None:
    """Serve for ever."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            url = urlparse(self.path)
            body = ""
            if url.path == "/metrics":
                body = load.metrics()
            elif url.path == "/candidates":
                load.start_candidates()
            elif url.path == "/fail":
                load.fail(int(parse_qs(url.query)["n"][0]))
            elif url.path == "/switches":
                body = json.dumps(load.switches())
            raw = body.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """One line a scrape tells nobody anything."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rollouts", type=int, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--stable", required=True)
    parser.add_argument("--candidate", required=True)
    given = parser.parse_args()
    pods = pods_of(given.rollouts, given.namespace, given.stable, given.candidate)
    serve(Load(pods), given.port)


if __name__ == "__main__":
    main()
