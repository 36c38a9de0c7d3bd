"""Bins of one variable: which cell a value belongs to, and what the cells are called.

Numbers have `edges`: a cell below the first, one between each two, one from the last on. Categories
have names and a rest cell. Both have a cell for what is missing, numbers one more for what is no
number. Labels name edges and the profile's own categories only, never a value that was served.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

_NO_VALUE = frozenset({"", "na", "nan", "null", "none"})
_HASH_DIGITS = 16


def canonical(value: Any) -> str | None:
    """A category as text, alike for 1, 1.0 and "1.0"; None for a missing value."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    text = str(value).strip()
    if text.lower() in _NO_VALUE:
        return None
    if text.endswith(".0") and text[:-2].lstrip("-").isdigit():
        return text[:-2]
    return {"True": "true", "False": "false"}.get(text, text)


def hidden(salt: str, text: str) -> str:
    """What a hashed category is stored as."""
    return hashlib.sha256(f"{salt}\0{text}".encode()).hexdigest()[:_HASH_DIGITS]


def numbers(column: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """(values as float with NaN for what is none, where a value was there but no number)."""
    column = np.asarray(column)
    if column.dtype.kind in "fiub":
        return column.astype(float, copy=False), None
    try:
        return column.astype(float), None
    except (TypeError, ValueError):
        pass
    values = np.full(len(column), np.nan)
    wrong = np.zeros(len(column), dtype=bool)
    for i, value in enumerate(column):
        try:
            values[i] = float(value)
        except (TypeError, ValueError):
            wrong[i] = canonical(value) is not None
    return values, wrong


class NumberBins:
    """Cells of numbers. `edges` ascend strictly."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = np.asarray(edges, dtype=float)
        if not len(edges) or not np.all(np.isfinite(self.edges)) or np.any(np.diff(edges) <= 0):
            raise ValueError(f"expected finite edges that ascend, found {list(edges)}")
        self._edges = self.edges.tolist()
        # NaN sorts behind all numbers, so that what is missing falls behind it by itself.
        self._with_nan = np.append(self.edges, np.nan)
        self.missing, self.invalid = len(edges) + 1, len(edges) + 2
        self.size = len(edges) + 3

    def cell(self, value: Any) -> int:
        """The cell of one value: as `cells`, without numpy's overhead for a single row."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            return self.missing if canonical(value) is None else self.invalid
        return bisect_right(self._edges, number) if number == number else self.missing

    def cells(self, column: Any) -> np.ndarray:
        """The cell of each value; shape (n,)."""
        values, wrong = numbers(column)
        found = np.searchsorted(self._with_nan, values, side="right")
        if wrong is not None:
            found[wrong] = self.invalid
        return found

    def labels(self) -> list[str]:
        edges = [f"{edge:.6g}" for edge in self.edges]
        between = [f"[{low},{high})" for low, high in pairwise(edges)]
        return [f"<{edges[0]}", *between, f">={edges[-1]}", "missing", "invalid"]

    def content(self) -> dict[str, Any]:
        return {"edges": self.edges.tolist()}


class CategoryBins:
    """Cells of categories. With a `salt` the names are hashes, and labels are c00, c01, ..."""

    def __init__(self, categories: Sequence[str], salt: str | None = None) -> None:
        self.categories = list(categories)
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"expected every category once, found {self.categories}")
        self.salt = salt
        self._cell = {name: i for i, name in enumerate(self.categories)}
        self.rest, self.missing = len(self.categories), len(self.categories) + 1
        self.size = len(self.categories) + 2

    def cell(self, value: Any) -> int:
        """The cell of one value."""
        text = canonical(value)
        if text is None:
            return self.missing
        if self.salt is not None:
            text = hidden(self.salt, text)
        return self._cell.get(text, self.rest)

    def cells(self, column: Any) -> np.ndarray:
        """The cell of each value; shape (n,)."""
        return np.fromiter(map(self.cell, column), dtype=np.intp, count=len(column))

    def labels(self) -> list[str]:
        names = self.categories
        if self.salt is not None:
            names = [f"c{i:02d}" for i in range(len(names))]
        # A category that is called as one of the two cells must not become the same series.
        taken = {"other", "missing"}
        return [f"{n} (category)" if n in taken else n for n in names] + ["other", "missing"]

    def content(self) -> dict[str, Any]:
        salted = {} if self.salt is None else {"salt": self.salt}
        return {"categories": self.categories, **salted}


Bins = NumberBins | CategoryBins


def from_content(content: dict[str, Any]) -> Bins:
    """Bins out of a profile. Raises ValueError for what is none."""
    if "edges" in content:
        return NumberBins(content["edges"])
    if "categories" in content:
        return CategoryBins(content["categories"], content.get("salt"))
    raise ValueError(f"expected edges or categories, found {sorted(content)}")
