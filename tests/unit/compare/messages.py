"""Answers as Seldon's servers give them."""

from __future__ import annotations

import json
from typing import Any

from sluice.compare.answers import Answer

NAMES = ["setosa", "versicolor", "virginica"]


def answer(message: Any, *, status: int = 200, seconds: float = 0.01) -> Answer:
    return Answer(status, seconds, json.dumps(message).encode())


def ndarray(*rows: Any, names: list[str] | None = None, **more: Any) -> Answer:
    names = NAMES if names is None else names
    return answer({"data": {"names": names, "ndarray": list(rows)}, "meta": {"puid": "x"}}, **more)


def tensor(values: list[float], shape: list[int]) -> Answer:
    return answer({"data": {"names": NAMES, "tensor": {"shape": shape, "values": values}}})


def tree(content: Any) -> Answer:
    return answer({"jsonData": content, "meta": {}})


SETOSA, VERSICOLOR = [0.8, 0.1, 0.1], [0.2, 0.7, 0.1]
DEAD = Answer(0, 0.1, trouble="timeout")
