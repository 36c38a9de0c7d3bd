"""Every row of a file is read, or kept with the reason why it could not be."""

from __future__ import annotations

import datetime
import gzip
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from sluice.batch import reading
from sluice.batch.reading import fingerprint, format_of, open_source
from sluice.batch.rows import Failure, Row, dump, failed
from sluice.errors import UsageError


def read(path: Path, content: bytes | str | None = None, **options: Any) -> list[Row]:
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    source = open_source(path, format_of(path, **options))
    try:
        return list(source.rows())
    finally:
        source.close()


def test_jsonl_rows_may_be_arrays_objects_or_texts(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.jsonl", '\ufeff[1, 2]\n\n{"a": 1}\r\n"text"')
    assert [(row.number, row.value) for row in rows] == [(0, [1, 2]), (1, {"a": 1}), (2, "text")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"a": ', "not JSON"),
        (b"[NaN]", "NaN is no JSON"),
        (b'["\xff"]', "not UTF-8 at byte 2"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_a_line_that_cannot_be_read_costs_itself_alone(
    tmp_path: Path, line: bytes, why: str
) -> None:
    before, bad, after = read(tmp_path / "a.jsonl", b"[1]\n" + line + b"\n[2]\n")
    assert (before.value, after.value, after.number) == ([1], [2], 2)
    assert why in bad.bad
    assert bad.raw


def test_a_file_without_line_ends_is_not_taken_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 100)
    monkeypatch.setattr(reading, "_RAW_KEPT", 10)
    bad, good = read(tmp_path / "a.jsonl", "[" + "1, " * 500 + "1]\n[2]\n")
    assert "longer than 100 bytes" in bad.bad
    assert bad.raw == "[1, 1, 1, "
    assert good.value == [2]


def test_csv_cells_are_numbers_booleans_nulls_and_texts(tmp_path: Path) -> None:
    text = 'a,b,c,d,e,f\r\n1,2.5,true,,007,"x, ""y""\nz"\r\n'
    assert read(tmp_path / "a.csv", text)[0].value == {
        "a": 1, "b": 2.5, "c": True, "d": None, "e": "007", "f": 'x, "y"\nz',
    }  # fmt: skip


def test_a_csv_column_can_be_told_its_type(tmp_path: Path) -> None:
    types = {"zip": "text", "n": "number", "b": "bool"}
    good, bad = read(tmp_path / "a.csv", "zip,n,b\n10115,+.5,1\n1,n/a,0\n", types=types)
    assert good.value == {"zip": "10115", "n": 0.5, "b": True}
    assert bad.bad == "n: expected a number, found 'n/a'"
    assert bad.raw == "1,n/a,0"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"1", "1 cells, the header has 2"),
        (b"1,2,3", "3 cells, the header has 2"),
        (b"1,\xff", "b: not UTF-8"),
        (b'1,"2"x', "not CSV at line 3"),
    ],
)
def test_a_wrong_csv_line_costs_itself_alone(tmp_path: Path, line: bytes, why: str) -> None:
    rows = read(tmp_path / "a.csv", b"a,b\n1,2\n" + line + b"\n3,4\n")
    assert [row.number for row in rows] == [0, 1, 2]
    assert why in rows[1].bad
    assert rows[2].value == {"a": 3, "b": 4}


def test_csv_without_a_header_and_with_tabs(tmp_path: Path) -> None:
    assert read(tmp_path / "a.tsv", "1\t2\n", header=False)[0].value == {"c0": 1, "c1": 2}


@pytest.mark.parametrize(
    ("text", "options", "why"),
    [("a,a\n1,2\n", {}, "a more than once"), ("a\n1\n", {"types": {"b": "text"}}, "names b")],
)
def test_a_wrong_csv_header_is_told(
    tmp_path: Path, text: str, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        read(tmp_path / "a.csv", text, **options)


def test_packed_files_are_read_as_they_come(tmp_path: Path) -> None:
    assert read(tmp_path / "a.jsonl.gz", gzip.compress(b"[1]\n[2]\n"))[1].value == [2]
    assert read(tmp_path / "a.csv.gz", gzip.compress(b"a\n5\n"))[0].value == {"a": 5}


def test_a_broken_packed_file_is_an_error_and_not_a_short_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no whole gzip file"):
        read(tmp_path / "a.jsonl.gz", gzip.compress(b"[1]\n" * 1000)[:-9])


def test_parquet_rows_have_their_columns(tmp_path: Path) -> None:
    day = datetime.date(2026, 1, 2)
    table = pyarrow.table(
        {"a": [1, 2], "v": [[1.5], None], "d": [day, day], "m": [Decimal("1.50"), None]}
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert [row.number for row in rows] == [0, 1]
    assert json.loads(dump(rows[0].value)) == {"a": 1, "v": [1.5], "d": "2026-01-02", "m": 1.5}
    assert rows[1].value["v"] is None


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'sluice-rollouts\[batch\]'"):
        read(tmp_path / "a.parquet", b"PAR1")


def test_what_is_no_parquet_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        read(tmp_path / "a.parquet", b"a,b\n1,2\n")


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("a.xlsx", {}, "expected .jsonl, .csv or .parquet"),
        ("a.parquet.gz", {}, "compresses by itself"),
        ("a.jsonl", {"delimiter": ";"}, "for CSV alone"),
    ],
)
def test_a_format_that_cannot_be_is_told(
    tmp_path: Path, name: str, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        read(tmp_path / name, "", **options)


def test_a_pipe_is_refused_for_it_cannot_be_read_twice() -> None:
    with pytest.raises(UsageError, match="no regular file"):
        open_source(Path("/dev/null"), format_of(Path("/dev/null"), named="jsonl"))


def test_a_failed_row_is_read_as_the_row_it_was(tmp_path: Path) -> None:
    lines = b"".join(
        failed(row, "id7", Failure("HTTP 500", 500, 3)).line
        for row in (Row(7, {"a": 1}), Row(9, bad="not JSON", raw="[1"), Row(11, bad="x", raw="[2]"))
    )
    rows = read(tmp_path / "a.failed.jsonl", lines)
    assert [(row.number, row.value) for row in rows] == [(7, {"a": 1}), (9, None), (11, [2])]
    assert "still not JSON" in rows[1].bad


def test_a_file_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    one, same, other = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    one.write_bytes(b"a" * 3_000_000)
    same.write_bytes(b"a" * 3_000_000)
    other.write_bytes(b"a" * 2_999_999 + b"b")
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)


def test_how_much_is_read_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[1]\n" * 100_000)
    source = open_source(path, format_of(path))
    shares = [source.done for _ in source.rows()]
    assert shares[0] < 0.6
    assert shares[-1] == 1.0
