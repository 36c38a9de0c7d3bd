"""One answer of a model as what it is made of (its schema) and what it says (its rows).

Knows Seldon's messages (ndarray, tensor, jsonData, strData, binData) and the v2 protocol's outputs.
`meta` is left out: it names images and requests, which are to differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
OK = range(200, 300)


@dataclass(frozen=True)
class Schema:
    """What a client relies on. `shape` is () where the message has none."""

    kind: str
    shape: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    dtype: str = ""

    def differences(self, other: Schema) -> list[str]:
        """Names of the fields that are not the same; values that are all missing have no dtype."""
        names = ["kind", "shape", "names"]
        if self.dtype and other.dtype:
            names.append("dtype")
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def text(self) -> str:
        shape = "x".join(map(str, self.shape)) or "-"
        names = f" [{', '.join(self.names)}]" if self.names else ""
        return f"{self.kind} {shape} {self.dtype}{names}"


@dataclass(frozen=True)
class Said:
    """The rows of an answer: numbers (n, k), or one text each; JSON can have both in one row."""

    schema: Schema
    numbers: Numbers | None = None
    texts: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return len(self.texts) if self.numbers is None else len(self.numbers)

    def labels(self) -> list[str] | None:
        """What each row comes to: the name of its greatest column, or its text.

        None for one number a row, which is nearer or further but not another label.
        """
        if self.numbers is None or self.texts:
            return list(self.texts)
        if self.numbers.shape[1] < 2 or self.schema.kind == "jsonData":
            return None
        names = self.schema.names
        known = len(names) == self.numbers.shape[1]
        places = np.nan_to_num(self.numbers, nan=-np.inf).argmax(axis=1)
        return [names[place] if known else str(place) for place in places]

    def classes(self) -> list[str] | None:
        """The class of each row: its label, or its number where all are whole.

        None for other numbers.
        """
        labels = self.labels()
        if labels is not None or self.numbers is None or self.numbers.shape[1] != 1:
            return labels
        column = self.numbers[:, 0]
        whole = bool(np.isfinite(column).all() and (column == np.round(column)).all())
        return [f"{value:.0f}" for value in column] if whole else None


@dataclass(frozen=True)
class Answer:
    """What came back after `seconds`. `status` 0: nothing did, and `trouble` says why.

    `reached` False: nobody there was asked, which says nothing of the model.
    """

    status: int
    seconds: float
    body: bytes = field(default=b"", repr=False)
    trouble: str = ""
    reached: bool = True

    @property
    def ok(self) -> bool:
        return self.status in OK and not self.trouble

    @property
    def code(self) -> str:
        """For counting: the HTTP status, or the trouble there was."""
        return self.trouble or str(self.status)


def read(answer: Answer) -> Said | None:
    """What a successful answer says; None where it is no message of a model."""
    try:
        message = json.loads(answer.body)
    except ValueError:
        return None
    if not isinstance(message, dict):
        return None
    try:
        return _said(message)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _said(message: dict[str, Any]) -> Said | None:
    if "data" in message:
        return _table(message["data"])
    if "outputs" in message:
        return _outputs(message["outputs"])
    if "jsonData" in message:
        return _tree(message["jsonData"])
    for kind in ("strData", "binData"):
        if kind in message:
            return Said(Schema(kind, dtype="text"), texts=(str(message[kind]),))
    return None


def _table(data: dict[str, Any]) -> Said | None:
    names = tuple(map(str, data.get("names") or ()))
    if "tensor" in data:
        shape = tuple(int(n) for n in data["tensor"]["shape"])
        return _array("tensor", data["tensor"].get("values") or [], shape, names)
    if "ndarray" in data:
        rows = data["ndarray"]
        shape = np.array(rows, dtype=object).shape if isinstance(rows, list) else ()
        return _array("ndarray", rows, shape, names)
    return None


def _outputs(outputs: list[dict[str, Any]]) -> Said | None:
    parts = [
        _array(
            "outputs", one["data"], tuple(int(n) for n in one["shape"]), (), str(one["datatype"])
        )
        for one in outputs
    ]
    names = tuple(str(one["name"]) for one in outputs)
    if len(parts) == 1:
        [part] = parts
        schema = Schema("outputs", part.schema.shape, names, part.schema.dtype)
        return Said(schema, part.numbers, part.texts)
    shape = tuple(n for part in parts for n in part.schema.shape)
    schema = Schema("outputs", shape, names, ",".join(part.schema.dtype for part in parts))
    if all(part.numbers is not None and len(part.numbers) == parts[0].rows for part in parts):
        whole = np.hstack([part.numbers for part in parts if part.numbers is not None])
        return Said(schema, whole)
    return Said(schema, texts=(json.dumps([one["data"] for one in outputs]),))


def _array(
    kind: str, values: Any, shape: tuple[int, ...], names: tuple[str, ...], dtype: str = ""
) -> Said:
    flat = list(_leaves(values))
    schema = Schema(kind, shape, names, dtype or _dtype(flat))
    rows = shape[0] if len(shape) > 1 else len(flat)
    if all(_number(value) for value in flat):
        numbers = np.array([np.nan if v is None else v for v in flat], dtype=float)
        return Said(schema, numbers.reshape(rows, -1) if flat else numbers.reshape(0, 1))
    width = max(1, len(flat) // max(rows, 1))
    whole = [flat[i : i + width] for i in range(0, len(flat), width)]
    texts = tuple(str(row[0]) if len(row) == 1 else json.dumps(row) for row in whole)
    return Said(schema, texts=texts)


def _tree(data: Any) -> Said:
    """JSON of any form: its paths and kinds are the schema, its leaves the one row.

    A list may be longer in one answer than in another: that is what it says, not its schema.
    """
    leaves = list(_paths(data, ""))
    names = tuple(sorted({f"{path}:{_kind(value)}" for path, value in leaves}))
    schema = Schema("jsonData", names=names)
    numbers = [np.nan if v is None else v for _, v in leaves if _number(v)]
    texts = [v for _, v in leaves if not _number(v)]
    return Said(
        schema,
        np.array([numbers], dtype=float) if numbers else None,
        (json.dumps(texts),) if texts or not numbers else (),
    )


def _paths(data: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        for key in sorted(data):
            yield from _paths(data[key], f"{path}.{key}" if path else str(key))
    elif isinstance(data, list):
        for one in data:
            yield from _paths(one, f"{path}[]")
    else:
        yield path, data


def _leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, list):
        for one in values:
            yield from _leaves(one)
    else:
        yield values


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    # 1 and 1.0 are the same number in JSON, and a model may answer either.
    return "number" if isinstance(value, int | float) else "text"


def _dtype(values: list[Any]) -> str:
    kinds = sorted({_kind(value) for value in values} - {"null"})
    return "+".join(kinds)
