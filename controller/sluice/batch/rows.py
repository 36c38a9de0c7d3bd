"""A row of the input, and what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

# A failed row's line has exactly these keys, so that `sluice batch` knows such a file again. A row
# that could not be read has `raw`, its text, instead of `input`.
_SENT_KEYS = frozenset({"row", "id", "reason", "status", "attempts", "input"})
_UNREAD_KEYS = _SENT_KEYS - {"input"} | {"raw"}


@dataclass(frozen=True, slots=True)
class Row:
    """`number` counts from 0. `value` is the row as JSON has it: columns, values or a text.

    `bad` says why the row cannot be sent, "" if it can; `raw` is then what stood in the file.
    """

    number: int
    value: Any = None
    bad: str = ""
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line for the output, or for the file of failed rows. `line` ends with a newline."""

    ok: bool
    line: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row failed: `status` is the HTTP status (0: none), `attempts` the requests made."""

    reason: str
    status: int = 0
    attempts: int = 0


def failed(row: Row, row_id: Any, failure: Failure) -> Outcome:
    """The line about a failed row; `sluice batch --input` takes it as the row again."""
    kept = {"input": row.value} if row.raw is None else {"raw": row.raw}
    line = {
        "row": row.number,
        "id": row_id,
        "reason": failure.reason,
        "status": failure.status,
        "attempts": failure.attempts,
        **kept,
    }
    return Outcome(False, dump(line, allow_nan=True))


def unwrapped(number: int, value: Any) -> Row:
    """The row that a parsed line is: itself, or the one that an earlier run kept as failed."""
    if isinstance(value, dict) and isinstance(value.get("row"), int):
        if value.keys() == _SENT_KEYS:
            return Row(value["row"], value["input"])
        if value.keys() == _UNREAD_KEYS:
            raw = str(value["raw"])
            try:
                return Row(value["row"], parse(raw))
            except ValueError as error:
                return Row(value["row"], bad=f"still not JSON: {error}", raw=raw)
    return Row(number, value)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON: expected a number, or null")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def parse(text: str) -> Any:
    """JSON, strictly. Raises ValueError, also for NaN and Infinity: no server has to take them."""
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def dump(value: Any, *, allow_nan: bool = False) -> bytes:
    """One line of JSON with its newline. Raises ValueError or TypeError for what JSON has not."""
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=allow_nan, default=_plain
    )
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _plain(value: Any) -> Any:
    """What Parquet knows and JSON does not."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")
