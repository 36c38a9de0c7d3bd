"""Requests and answers as columns and rows, whatever form Seldon hands them over in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_REMEMBERED = 64


class Columns:
    """Finds the observed columns of a request.

    `columns`: the model's input columns in order; `wanted`: those that are observed. A request's
    names decide; without any that is known, the order does, if there are as many columns.
    """

    def __init__(self, columns: tuple[str, ...], wanted: tuple[str, ...]) -> None:
        self._columns, self._wanted = columns, wanted
        self._known: dict[tuple[Any, ...], list[int | None]] = {}

    def of(self, features: Any, names: Any) -> tuple[int, list[Any]] | None:
        """(rows, a column or None for each wanted name); None where there are no columns at all."""
        if isinstance(features, Mapping):
            return self._of_mapping(features)
        if isinstance(features, (str, bytes, bytearray)) or features is None:
            return None
        if hasattr(features, "columns") and hasattr(features, "to_numpy"):
            there = {str(name): i for i, name in enumerate(features.columns)}
            found = [
                features.iloc[:, there[name]].to_numpy() if name in there else None
                for name in self._wanted
            ]
            return len(features), found
        if isinstance(features, list) and features and isinstance(features[0], Mapping):
            rows = [row if isinstance(row, Mapping) else {} for row in features]
            return len(rows), [[row.get(name) for row in rows] for name in self._wanted]
        table = features if isinstance(features, np.ndarray) else np.array(features, dtype=object)
        if table.ndim == 1:
            # One row, or the rows of a model with one column.
            table = table.reshape(-1, 1) if len(self._columns) == 1 else table.reshape(1, -1)
        if table.ndim != 2:
            return None
        places = self._places(names, table.shape[1])
        if len(table) == 1:
            row = table[0].tolist()
            return 1, [None if place is None else (row[place],) for place in places]
        return len(table), [None if place is None else table[:, place] for place in places]

    def _of_mapping(self, features: Mapping[Any, Any]) -> tuple[int, list[Any]] | None:
        values = [features.get(name) for name in self._wanted]
        lists = [value for value in values if isinstance(value, (list, tuple, np.ndarray))]
        rows = len(lists[0]) if lists else 1
        if any(len(value) != rows for value in lists) or not any(v is not None for v in values):
            return None
        whole = [v if isinstance(v, (list, tuple, np.ndarray)) else [v] * rows for v in values]
        return rows, whole

    def _places(self, names: Any, width: int) -> list[int | None]:
        key = (width, *map(str, names)) if names is not None and len(names) else (width,)
        found = self._known.get(key)
        if found is None:
            there = {name: i for i, name in enumerate(key[1:]) if i < width}
            if not there.keys() & set(self._columns):
                there = {}
                if width == len(self._columns):
                    there = {name: i for i, name in enumerate(self._columns)}
            found = [there.get(name) for name in self._wanted]
            if len(self._known) < _REMEMBERED:
                self._known[key] = found
        return found


def answer(given: Any, key: str | None) -> np.ndarray | None:
    """A model's answer as an array of one or two dimensions; None if it is no such thing."""
    data = getattr(given, "data", given) if type(given).__name__ == "SeldonResponse" else given
    if isinstance(data, Mapping):
        data = data.get(key) if key is not None else None
    if data is None:
        return None
    if isinstance(data, (bytes, bytearray)):
        data = data.decode(errors="replace")
    array = np.asarray([data] if isinstance(data, str) else data)
    if array.ndim == 0:
        array = array.reshape(1)
    return array if array.ndim <= 2 and array.size else None


def tags_of(meta: Any) -> Mapping[str, Any]:
    """The tags in a request's meta, which is a dict over REST and gRPC alike."""
    tags = meta.get("tags") if isinstance(meta, Mapping) else None
    return tags if isinstance(tags, Mapping) else {}


def parts(message: Any) -> tuple[Any, Any, Any]:
    """(features, names, meta) of a raw message, by Seldon's own reading of it."""
    from seldon_core import utils

    if isinstance(message, (Mapping, list)):
        features, meta, data, _ = utils.extract_request_parts_json(message)
        return features, (data or {}).get("names"), meta
    features, meta, data, _ = utils.extract_request_parts(message)
    return features, list(data.names) if data is not None else None, meta
