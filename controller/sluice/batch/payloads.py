"""What a request looks like, and how the answer to several rows is taken apart again.

Seldon's protocol: https://docs.seldon.io/projects/seldon-core/en/latest/graph/protocols.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sluice.batch.rows import Outcome, Row, dump
from sluice.errors import UsageError

Json = dict[str, Any]
_MESSAGE_KEYS = frozenset({"data", "jsonData", "strData", "binData"})
_FEEDBACK_KEYS = frozenset({"request", "response", "reward", "truth"})


class Payload(StrEnum):
    """What becomes of a row."""

    NDARRAY = "ndarray"
    TENSOR = "tensor"
    JSON = "jsonData"
    TEXT = "strData"
    MESSAGE = "message"
    FEEDBACK = "feedback"


class Form(StrEnum):
    """What a line of the output holds."""

    ANSWER = "answer"
    PREDICTION = "prediction"


class UnfitRow(ValueError):
    """The row cannot be sent as this payload; the message says why."""


@dataclass(frozen=True, slots=True)
class Item:
    """A row ready to be sent: `instances` for ndarray and tensor, else the whole `message`."""

    row: Row
    id: Any
    instances: list[Any] = field(default_factory=list)
    message: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """How rows become requests, the same for the whole file."""

    payload: Payload
    columns: tuple[str, ...] = ()
    id_column: str | None = None
    form: Form = Form.ANSWER
    batch_id: str = ""

    def item(self, row: Row) -> Item:
        """Raises UnfitRow."""
        row_id, value = self.id_of(row), row.value
        if self.payload in (Payload.MESSAGE, Payload.FEEDBACK):
            keys = _MESSAGE_KEYS if self.payload is Payload.MESSAGE else _FEEDBACK_KEYS
            if not isinstance(value, dict) or not keys & value.keys():
                raise UnfitRow(f"expected an object with one of {', '.join(sorted(keys))}")
            return Item(row, row_id, message=value)
        if isinstance(value, dict):
            value = self._chosen(value)
        elif self.columns and isinstance(value, list) and value:
            width = len(value[0]) if isinstance(value[0], list) else len(value)
            if width != len(self.columns):
                raise UnfitRow(f"{width} values, expected {len(self.columns)}")
        if self.payload is Payload.JSON:
            return Item(row, row_id, message={"jsonData": value})
        if self.payload is Payload.TEXT:
            return Item(row, row_id, message={"strData": _text(value)})
        if isinstance(value, dict):
            value = list(value.values())
        instances = _instances(value)
        if self.payload is Payload.TENSOR:
            _check_numbers(instances)
        return Item(row, row_id, instances)

    def id_of(self, row: Row) -> Any:
        """The row's value in the id column, None if there is none."""
        if self.id_column is None or not isinstance(row.value, dict):
            return None
        return row.value.get(self.id_column)

    def request(self, items: Sequence[Item]) -> bytes:
        """One request's body. Several items only where `joins`. Raises UnfitRow."""
        tags: Json = {"batch_id": self.batch_id}
        if len(items) == 1:
            tags["batch_index"] = items[0].row.number
        body = dict(items[0].message)
        if not body:
            instances = [one for item in items for one in item.instances]
            body = {"data": self._data(instances)}
        if self.payload is not Payload.FEEDBACK:  # a Feedback message has no meta
            meta = body.get("meta") or {}
            body["meta"] = {**meta, "tags": {**(meta.get("tags") or {}), **tags}}
        try:
            return dump(body)[:-1]
        except (TypeError, ValueError) as error:
            raise UnfitRow(f"cannot be written as JSON: {error}") from error

    @property
    def joins(self) -> bool:
        """Whether several rows may share a request."""
        return self.payload in (Payload.NDARRAY, Payload.TENSOR)

    @property
    def repeatable(self) -> bool:
        """Whether a request may be sent again for no other reason than to look: feedback counts."""
        return self.payload is not Payload.FEEDBACK

    def outcome(self, item: Item, answer: Json) -> Outcome:
        """The output's line for a row. Raises UnfitRow if the answer lacks what is asked for."""
        if self.form is Form.PREDICTION:
            line: Json = {"row": item.row.number}
            if self.id_column is not None:
                line["id"] = item.id
            line["prediction"] = prediction(answer, single=len(item.instances) == 1)
            return Outcome(True, dump(line, allow_nan=True))
        meta = answer.get("meta") or {}
        tags = {
            **(meta.get("tags") or {}),
            "batch_id": self.batch_id,
            "batch_index": item.row.number,
            "batch_instance_id": f"{self.batch_id}-{item.row.number}",
        }
        if self.id_column is not None:
            tags["batch_row_id"] = item.id
        return Outcome(True, dump({**answer, "meta": {**meta, "tags": tags}}, allow_nan=True))

    def _chosen(self, value: Json) -> Json:
        if not self.columns:
            return {key: one for key, one in value.items() if key != self.id_column}
        if missing := [name for name in self.columns if name not in value]:
            raise UnfitRow(f"no {', '.join(missing)}: expected the columns of the first row")
        return {name: value[name] for name in self.columns}

    def _data(self, instances: list[Any]) -> Json:
        named: Json = {"names": list(self.columns)} if self.columns else {}
        if self.payload is Payload.NDARRAY:
            return {**named, "ndarray": instances}
        sizes, flat = [len(instances)], instances
        while flat and isinstance(flat[0], list):
            sizes.append(len(flat[0]))
            flat = [one for inner in flat for one in inner]
        if math.prod(sizes) != len(flat):
            raise UnfitRow("the rows of a tensor must be of one length")
        return {**named, "tensor": {"shape": sizes, "values": flat}}


def shape_for(
    first: Row | None,
    *,
    payload: Payload | None,
    feedback: bool = False,
    columns: Sequence[str] = (),
    id_column: str | None = None,
    form: Form = Form.ANSWER,
    batch_id: str = "",
) -> Shape:
    """The shape for a file whose first readable row is `first`. Raises UsageError."""
    value = first.value if first is not None else None
    if feedback:
        if payload not in (None, Payload.MESSAGE):
            raise UsageError("--method feedback sends whole messages: leave --payload out")
        payload = Payload.FEEDBACK
    if payload is None:
        whole = isinstance(value, dict) and any(
            isinstance(value.get(key), dict if key == "data" else object) and key in value
            for key in _MESSAGE_KEYS
        )
        payload = Payload.MESSAGE if whole else Payload.NDARRAY
    if isinstance(value, dict):
        if absent := [n for n in (*columns, *([id_column] if id_column else [])) if n not in value]:
            raise UsageError(
                f"the input has no column {', '.join(absent)}: its first row has {', '.join(value)}"
            )
        if not columns and payload in (Payload.NDARRAY, Payload.TENSOR):
            columns = [name for name in value if name != id_column]
    elif id_column is not None and first is not None:
        raise UsageError("--id-column needs rows with names: CSV with a header, objects, Parquet")
    return Shape(payload, tuple(columns), id_column, form, batch_id)


def take_apart(answer: Json, counts: Sequence[int]) -> list[Json] | None:
    """One answer for each row of a request, or None if this one cannot be divided like that."""
    data, total = answer.get("data"), sum(counts)
    if not isinstance(data, dict):
        return None
    array, tensor = data.get("ndarray"), data.get("tensor")
    if isinstance(array, list) and len(array) == total:
        return [
            {**answer, "data": {**data, "ndarray": array[at : at + count]}}
            for at, count in _places(counts)
        ]
    if not isinstance(tensor, dict):
        return None
    sizes, values = tensor.get("shape") or [], tensor.get("values")
    if not isinstance(values, list) or sizes[:1] != [total] or math.prod(sizes) != len(values):
        return None
    step = math.prod(sizes[1:])
    return [
        {
            **answer,
            "data": {
                **data,
                "tensor": {
                    "shape": [count, *sizes[1:]],
                    "values": values[at * step : (at + count) * step],
                },
            },
        }
        for at, count in _places(counts)
    ]


def prediction(answer: Json, *, single: bool) -> Any:
    """What the model said, without its wrapping. Raises UnfitRow."""
    for key in ("jsonData", "strData", "binData"):
        if key in answer:
            return answer[key]
    data = answer.get("data")
    data = data if isinstance(data, dict) else {}
    found = data.get("ndarray")
    if found is None and isinstance(tensor := data.get("tensor"), dict):
        found = _nested(list(tensor.get("values") or []), list(tensor.get("shape") or []))
    if not isinstance(found, list):
        raise UnfitRow("the answer has no ndarray, tensor, jsonData, strData or binData")
    return found[0] if single and len(found) == 1 else found


def _nested(values: list[Any], sizes: list[int]) -> list[Any]:
    for size in reversed(sizes[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size or 1)]
    return values


def _places(counts: Sequence[int]) -> list[tuple[int, int]]:
    places, at = [], 0
    for count in counts:
        places.append((at, count))
        at += count
    return places


def _instances(value: Any) -> list[Any]:
    """A flat list is one instance, a nested one a list of instances."""
    if not isinstance(value, list) or not value:
        raise UnfitRow(f"expected an array of values, found {_kind(value)}")
    nested = [isinstance(one, list) for one in value]
    if any(nested) and not all(nested):
        raise UnfitRow("expected values, or instances, found a mixture of both")
    return value if nested[0] else [value]


def _check_numbers(instances: Any) -> None:
    for one in instances:
        if isinstance(one, list):
            _check_numbers(one)
        elif isinstance(one, bool) or not isinstance(one, int | float):
            raise UnfitRow(f"a tensor holds numbers, found {_kind(one)}")


def _text(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if not isinstance(value, str):
        raise UnfitRow(f"expected a text for strData, found {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an empty array", str: "a text", type(None): "null"}
    return names.get(type(value), f"{value!r}"[:40])
