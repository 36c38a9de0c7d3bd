"""Requests of a ConfigMap: what is taken, and what is said of the rest without showing it."""

from __future__ import annotations

import base64
import gzip

import pytest

from sluice.compare import lines
from sluice.compare.lines import Request, content_of, requests_in, rows_of
from sluice.errors import RequestsError

ONE = b'{"data": {"ndarray": [[1, 2]]}}'


def test_lines_are_requests_with_their_number_packed_or_not() -> None:
    content = ONE + b"\r\n\n  \n" + ONE
    found = list(requests_in(content))
    assert [(one.number, one.body) for one in found] == [(1, ONE.decode()), (4, ONE.decode())]
    assert list(requests_in(gzip.compress(content))) == found
    assert list(requests_in(b"")) == []


def test_a_file_is_found_in_data_and_in_binary_data() -> None:
    packed = gzip.compress(ONE)
    held = {
        "metadata": {"name": "r"},
        "data": {"a.jsonl": ONE.decode()},
        "binaryData": {"b.jsonl.gz": base64.b64encode(packed).decode(), "c": "no base64!"},
    }
    assert content_of(held, "a.jsonl") == ONE
    assert content_of(held, "b.jsonl.gz") == packed
    with pytest.raises(RequestsError, match=r"found a\.jsonl, b\.jsonl\.gz, c") as missing:
        content_of(held, "d")
    assert missing.value.reason == "RequestsNotFound"
    with pytest.raises(RequestsError, match="is no base64"):
        content_of(held, "c")
    with pytest.raises(RequestsError, match="found nothing"):
        content_of({"metadata": {"name": "r"}}, "d")


@pytest.mark.parametrize(
    "line",
    [b"{secret", b'["secret"]', b'"secret"', b"\xff\xfesecret", b"[" * 100_000, b"{'secret': 1}"],
)
def test_what_is_no_request_is_named_and_not_shown(line: bytes) -> None:
    with pytest.raises(RequestsError, match=r"^line 2: ") as found:
        list(requests_in(ONE + b"\n" + line))
    assert found.value.reason == "RequestsInvalid"
    assert "secret" not in str(found.value)
    assert found.value.__cause__ is None


def test_broken_gzip_is_said() -> None:
    packed = gzip.compress(ONE * 1000)
    for content in (packed[:-20], packed[:30] + b"\0\0\0" + packed[33:]):
        with pytest.raises(RequestsError, match=r"line \d+: (gzip is broken|expected)"):
            list(requests_in(content))


def test_what_unpacks_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_BYTES", 1000)
    for bomb in (b" " * 10_000, b"\n" * 10_000, (ONE + b"\n") * 100):
        with pytest.raises(RequestsError, match="at most"):
            list(requests_in(gzip.compress(bomb)))
    monkeypatch.setattr(lines, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(lines, "MOST_REQUESTS", 10)
    assert len(list(requests_in((ONE + b"\n") * 10))) == 10
    with pytest.raises(RequestsError, match="line 11: expected"):
        list(requests_in((ONE + b"\n") * 11))


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ('{"data": {"ndarray": [[1], [2], [3]]}}', 3),
        ('{"data": {"tensor": {"shape": [4, 2], "values": []}}}', 4),
        ('{"data": {"tensor": {"shape": [4], "values": []}}}', 1),
        ('{"inputs": [{"name": "x", "shape": [5, 3], "data": []}]}', 5),
        ('{"strData": "x"}', 1),
        ('{"data": {"ndarray": []}}', 1),
        ('{"data": 7}', 1),
        ('{"inputs": {"a": 1}}', 1),
    ],
)
def test_rows_of_a_request(body: str, rows: int) -> None:
    assert rows_of(Request(1, body)) == rows
