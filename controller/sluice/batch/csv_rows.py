"""CSV into rows with names and types."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from typing import Any

from sluice.batch.rows import Row
from sluice.errors import UsageError

TYPES = ("number", "text", "bool")
# No number may begin with a needless zero: those are postcodes and article numbers.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS = {"true": True, "false": False}
_LARGEST_FIELD = 16 * 2**20


def rows(
    lines: Iterator[bytes], header: bool, delimiter: str, types: dict[str, str]
) -> Iterator[Row]:
    """Each row as {column: value}. Without a header the columns are c0, c1, ...

    An empty cell is null. What looks like a number of JSON is one, `true` and `false` are booleans,
    everything else is text, unless `types` says what a column holds: then a cell that does not fit
    makes the row a failed one. Raises UsageError for a wrong header.
    """
    csv.field_size_limit(_LARGEST_FIELD)
    reader = csv.reader(_text(lines), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    converters: list[Callable[[str], Any]] = []
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(number, bad=f"not CSV at line {reader.line_num}: {error}", raw="")
            number += 1
            continue
        if not cells:
            continue
        if names is None:
            names = _names(cells, header)
            converters = _converters(names, types)
            if header:
                continue
        yield _row(number, cells, names, converters, delimiter)
        number += 1


def _text(lines: Iterator[bytes]) -> Iterator[str]:
    first = True
    for line in lines:
        # The damaged cell is seen by its replacement, and only its row fails.
        yield line.decode("utf-8-sig" if first else "utf-8", "surrogateescape")
        first = False


def _names(cells: list[str], header: bool) -> list[str]:
    if not header:
        return [f"c{index}" for index in range(len(cells))]
    names = [cell.strip() for cell in cells]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"the CSV's header has {', '.join(twice)} more than once")
    return names


def _converters(names: list[str], types: dict[str, str]) -> list[Callable[[str], Any]]:
    if unknown := sorted(set(types) - set(names)):
        raise UsageError(
            f"--type names {', '.join(unknown)}: the CSV's columns are {', '.join(names)}"
        )
    by_type: dict[str, Callable[[str], Any]]
    by_type = {"number": _number, "text": str, "bool": _bool}
    return [by_type[types[name]] if name in types else _guess for name in names]


def _row(
    number: int,
    cells: list[str],
    names: list[str],
    converters: list[Callable[[str], Any]],
    delimiter: str,
) -> Row:
    raw = delimiter.join(cells).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if len(cells) != len(names):
        return Row(number, bad=f"{len(cells)} cells, the header has {len(names)}", raw=raw)
    value = {}
    for name, cell, convert in zip(names, cells, converters, strict=True):
        try:
            cell.encode()
            value[name] = None if cell == "" and convert is not str else convert(cell)
        except UnicodeEncodeError:
            return Row(number, bad=f"{name}: not UTF-8", raw=raw)
        except ValueError as error:
            return Row(number, bad=f"{name}: {error}", raw=raw)
    return Row(number, value)


def _guess(cell: str) -> Any:
    if _NUMBER.fullmatch(cell):
        return _as_number(cell)
    return _WORDS.get(cell.lower(), cell)


def _number(cell: str) -> int | float:
    text = cell.strip()
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        raise ValueError(f"expected a number, found {cell[:40]!r}")
    return _as_number(text)


def _as_number(text: str) -> int | float:
    # The longest integers are left to be floats: Python would refuse some, servers most.
    return int(text) if len(text) < 19 and text.lstrip("+-").isdigit() else float(text)


def _bool(cell: str) -> bool:
    known = {**_WORDS, "1": True, "0": False}
    if cell.strip().lower() not in known:
        raise ValueError(f"expected true or false, found {cell[:40]!r}")
    return known[cell.strip().lower()]
