"""What is taken out of a request before it is kept.

A FIELD is a path (`.jsonData.customer.id`; lists on the way are gone through) or a column's name:
in `data` by its `names`, in the v2 protocol by the inputs' names, else every key of that name.
Where it cannot be told whether a request has the field, the request is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.errors import UsageError

Json = dict[str, Any]
# Who asked and which request it was: no model needs these, and a preflight asks anew.
_IDENTITY = ("meta", "id")
_TABLES = ("ndarray", "tensor")


class CannotTell(Exception):
    """Whether the field is in this request cannot be seen."""


class _Gone:
    """Stands for no value: the field is dropped."""


_GONE = _Gone()


@dataclass(frozen=True)
class Rule:
    """One FIELD, and what it becomes: a JSON value, or nothing."""

    field: str
    value: Any = _GONE

    @property
    def path(self) -> list[str] | None:
        """The keys of a path; None for a column's name."""
        return self.field[1:].split(".") if self.field.startswith(".") else None


class Redaction:
    """The rules together. `meta`: keep a request's meta, without its puid."""

    def __init__(
        self,
        drop: Iterable[str] = (),
        replace: Mapping[str, Any] | None = None,
        *,
        meta: bool = False,
    ) -> None:
        self._rules = [Rule(field) for field in drop]
        self._rules += [Rule(field, value) for field, value in (replace or {}).items()]
        self._meta = meta
        for rule in self._rules:
            if not all(rule.path or [rule.field]):
                raise UsageError(
                    f"expected a column's name or a path such as .jsonData.customer, found "
                    f"{rule.field!r}"
                )

    def applied(self, body: Json) -> Json:
        """The request without what is to go; `body` itself is changed. Raises CannotTell."""
        if self._meta:
            if isinstance(body.get("meta"), dict):
                body["meta"].pop("puid", None)
            body.pop("id", None)
        else:
            for key in _IDENTITY:
                body.pop(key, None)
        for rule in self._rules:
            if rule.path is not None:
                _at_path(body, rule.path, rule.value)
            else:
                _column(body, rule.field, rule.value)
        return body


def _put(holder: Json, key: str, value: Any) -> None:
    if value is _GONE:
        del holder[key]
    else:
        holder[key] = value


def _at_path(found: Any, path: list[str], value: Any) -> None:
    if isinstance(found, list):
        for one in found:
            _at_path(one, path, value)
    elif isinstance(found, dict):
        if path[0] not in found:
            return
        if len(path) == 1:
            _put(found, path[0], value)
        else:
            _at_path(found[path[0]], path[1:], value)
    elif found is not None:
        raise CannotTell  # a text may be JSON in which it is


def _column(body: Json, name: str, value: Any) -> None:
    for key, found in list(body.items()):
        if key == "data" and isinstance(found, dict):
            _named_table(found, name, value)
        elif key == "inputs" and isinstance(found, list):
            body[key] = _inputs(found, name, value)
        elif key == name:
            _put(body, key, value)
        elif key not in ("meta", "parameters"):
            if not isinstance(found, dict | list):
                raise CannotTell
            _keys(found, name, value)


def _keys(found: Any, name: str, value: Any) -> None:
    """Every key of this name, at any depth. Rows without names have no columns to be found by."""
    if isinstance(found, dict):
        for key in list(found):
            if key == name:
                _put(found, key, value)
            else:
                _keys(found[key], name, value)
    elif isinstance(found, list):
        for one in found:
            if isinstance(one, list):
                raise CannotTell
            _keys(one, name, value)


def _named_table(data: Json, name: str, value: Any) -> None:
    """`data` with `names` and either an ndarray or a tensor of one or two dimensions."""
    names = data.get("names")
    if not isinstance(names, list) or sum(key in data for key in _TABLES) != 1:
        raise CannotTell
    if set(data) - {"names", *_TABLES}:
        raise CannotTell
    away = [index for index, one in enumerate(names) if one == name]
    change = _row_change(len(names), away, value)
    if "ndarray" in data:
        rows = data["ndarray"]
        if not isinstance(rows, list):
            raise CannotTell
        flat = not any(isinstance(row, list) for row in rows)
        data["ndarray"] = change(rows) if flat and rows else [change(row) for row in rows]
    else:
        _tensor(data["tensor"], len(names), change)
    if away and value is _GONE:
        data["names"] = [one for one in names if one != name]


def _row_change(width: int, away: list[int], value: Any) -> Callable[[Any], list[Any]]:
    def change(row: Any) -> list[Any]:
        if not isinstance(row, list) or len(row) != width:
            raise CannotTell
        if value is _GONE:
            return [cell for index, cell in enumerate(row) if index not in away]
        return [value if index in away else cell for index, cell in enumerate(row)]

    return change


def _tensor(tensor: Any, width: int, change: Callable[[Any], list[Any]]) -> None:
    try:
        shape, values = tensor["shape"], tensor["values"]
        fits = len(shape) in (1, 2) and shape[-1] == width > 0 and len(values) % width == 0
        if not fits or set(tensor) != {"shape", "values"}:
            raise CannotTell
        rows = [change(values[at : at + width]) for at in range(0, len(values), width)]
        tensor["values"] = [cell for row in rows for cell in row]
        tensor["shape"] = [*shape[:-1], len(rows[0]) if rows else width]
    except (TypeError, KeyError) as error:
        raise CannotTell from error


def _inputs(inputs: list[Any], name: str, value: Any) -> list[Any]:
    """The v2 protocol: one input a column. A matrix as one input has columns without names."""
    kept = []
    for one in inputs:
        if not isinstance(one, dict) or not isinstance(one.get("shape"), list):
            raise CannotTell
        if one.get("name") != name:
            if len(one["shape"]) > 1 and one["shape"][-1] != 1:
                raise CannotTell
            kept.append(one)
        elif value is not _GONE:
            rows = one.get("data")
            if not isinstance(rows, list) or any(isinstance(row, list) for row in rows):
                raise CannotTell
            kept.append({**one, "data": [value] * len(rows)})
    return kept
