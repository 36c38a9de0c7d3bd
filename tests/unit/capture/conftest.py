"""A run of `sluice capture` in this process, and events for it."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from sluice.capture.collecting import Collecting, Outcome, Wanted
from sluice.capture.redacting import Redaction
from sluice.capture.run import Pace, Run
from sluice.capture.sample import Sample
from sluice.errors import SluiceError
from sluice.testing.clock import ManualClock

HEADERS = {
    "Ce-Type": "io.seldon.serving.inference.request",
    "Ce-Inferenceservicename": "iris",
    "Ce-Namespace": "prod",
    "Ce-Endpoint": "v1",
    "Ce-Modelid": "model",
    "Content-Type": "application/json",
}


def body(number: int) -> bytes:
    return json.dumps({"data": {"ndarray": [[number]]}}).encode()


@dataclass
class MemoryPlace:
    """Keeps what is written; `fail` is raised instead."""

    where: str = "memory"
    zipped: bool = False
    held: bool = False
    most: int | None = None
    fail: SluiceError | None = None
    written: list[tuple[bytes, Mapping[str, str]]] = field(default_factory=list)

    def look(self) -> bool:
        if self.fail:
            raise self.fail
        return self.held

    def room(self) -> int | None:
        return self.most

    def write(self, content: bytes, about: Mapping[str, str]) -> None:
        if self.fail:
            raise self.fail
        self.written.append((content, about))


@dataclass
class Taking:
    """A run whose server is up, or whose writes are called by the test."""

    run: Run
    place: MemoryPlace
    clock: ManualClock
    collecting: Collecting
    thread: threading.Thread | None = None

    def post(
        self, content: bytes, headers: Mapping[str, str] = HEADERS, **more: str
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.run.server.port, timeout=10)
        try:
            connection.request("POST", "/", content, {**headers, **more})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.run.server.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def count(self, outcome: Outcome) -> int:
        return self.collecting.counts[outcome]


Make = Callable[..., Taking]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes runs; `serve=True` has the server answer."""
    made: list[Taking] = []

    def one(*, serve: bool = False, keep: int = 10, largest: int = 1000, **pace: Any) -> Taking:
        clock, place = ManualClock(), MemoryPlace()
        sample = Sample(keep, 1 << 20, random.Random(1))
        held = Collecting(Wanted("iris"), sample, Redaction(), largest)
        run = Run(held, place, Pace(**pace), clock, "127.0.0.1:0")
        if serve:
            run.server.start()
        made.append(Taking(run, place, clock, held))
        return made[-1]

    yield one
    for taking in made:
        taking.run.stop()
        if taking.thread:
            taking.thread.join()
        taking.run.server.stop()
