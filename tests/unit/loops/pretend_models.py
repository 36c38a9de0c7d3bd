"""Two revisions to be asked, and a ConfigMap, without a network."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sluice.api.preflight import Preflight
from sluice.compare.answers import Answer
from sluice.engine.preflight_facts import PreflightWish
from sluice.errors import ApiError, NotFoundError

Said = Callable[[dict[str, Any]], Answer]
NOBODY = Answer(0, 0.0, trouble="no connection", reached=False)


def lines(n: int) -> str:
    """Requests whose only number is their own."""
    return "".join(json.dumps({"data": {"ndarray": [[i]]}}) + "\n" for i in range(n))


def answer(name: str, seconds: float = 0.001) -> Answer:
    """A row in which one of three classes is by far the most likely."""
    shares = [0.8 if one == name else 0.1 for one in ("a", "b", "c")]
    body = json.dumps({"data": {"names": ["a", "b", "c"], "ndarray": [shares]}})
    return Answer(200, seconds, body.encode())


def by_number(every: int = 0, other: str = "c") -> Said:
    """Class a, and for each so many-th request another."""
    return lambda body: answer(
        other if every and body["data"]["ndarray"][0][0] % every == 0 else "a"
    )


class PretendWay:
    """One side: says what it is told to, and notes what it was asked."""

    where = "http://iris-v1.prod:8000"

    def __init__(self, say: Said) -> None:
        self.say = say
        self.asked: list[str] = []
        self.closed = threading.Event()

    def ask(self, body: str) -> Answer:
        if self.closed.is_set():
            return NOBODY
        self.asked.append(body)
        return self.say(json.loads(body))

    def close(self) -> None:
        self.closed.set()


class PretendWays:
    """`Ways`: `content` None means that there is no ConfigMap."""

    def __init__(
        self, content: str | bytes | None, stable: Said | None = None, candidate: Said | None = None
    ) -> None:
        self.content = content
        self.say = {"v1": stable or by_number(), "v2": candidate or by_number()}
        self.sides: list[PretendWay] = []
        self.trouble: ApiError | None = None
        self.reads = 0

    def config_map(self, namespace: str, name: str) -> Mapping[str, Any]:
        self.reads += 1
        if self.trouble is not None:
            raise self.trouble
        if self.content is None:
            raise NotFoundError(f"no ConfigMap {namespace}/{name}")
        if isinstance(self.content, bytes):
            found = base64.b64encode(self.content).decode()
            return {"metadata": {"name": name}, "binaryData": {"requests.jsonl": found}}
        return {"metadata": {"name": name}, "data": {"requests.jsonl": self.content}}

    def side(
        self, wish: PreflightWish, predictor: Mapping[str, Any], *, parallel: int
    ) -> PretendWay:
        made = PretendWay(self.say[predictor["name"]])
        self.sides.append(made)
        return made

    @property
    def sent(self) -> int:
        return sum(len(side.asked) for side in self.sides)


def wish(attempt: int = 1, *, passed: str | None = None, **spec: Any) -> PreflightWish:
    asked = Preflight.model_validate({"requests": {"configMap": {"name": "r"}}, **spec})
    return PreflightWish(
        "q1", attempt, asked, "prod", "iris", {"name": "v1"}, {"name": "v2"}, passed_hash=passed
    )


def packed(text: str) -> bytes:
    return gzip.compress(text.encode())
