"""Reading requests and sending them to both."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.compare.answers import Answer
from sluice.compare.asking import ask_both
from sluice.compare.lines import Request, read_requests
from sluice.compare.totals import Tolerance, Totals
from sluice.compare.url import Url
from sluice.errors import UsageError

from .messages import SETOSA, ndarray

BODY = '{"data": {"ndarray": [[1, 2]]}}'


class Told:
    """Answers at once and notes what it was asked."""

    where = "here"

    def __init__(self, order: list[str] | None = None, name: str = "") -> None:
        self.asked: list[str] = []
        self._order, self._name = order, name

    def ask(self, body: str) -> Answer:
        self.asked.append(body)
        if self._order is not None:
            self._order.append(self._name)
        return ndarray(SETOSA)


def test_lines_are_requests_with_their_number(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(f"{BODY}\n\n{BODY}\n")
    assert [one.number for one in read_requests(file)] == [1, 3]
    assert [one.number for one in read_requests(file, 1)] == [1]
    packed = tmp_path / "r.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert list(read_requests(packed)) == list(read_requests(file))


@pytest.mark.parametrize(("line", "words"), [("{", "expected JSON"), ("[1]", "as a JSON object")])
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(f"{BODY}\n{line}\n")
    with pytest.raises(UsageError, match=rf"r\.jsonl:2: .*{words}"):
        list(read_requests(file))


@pytest.mark.parametrize("parallel", [1, 8])
def test_every_request_goes_to_both_once(parallel: int) -> None:
    stable, candidate, totals = Told(), Told(), Totals(Tolerance())
    requests = (Request(n, json.dumps({"n": n})) for n in range(300))
    ask_both(requests, stable, candidate, totals, parallel=parallel)
    assert sorted(stable.asked) == sorted(candidate.asked)
    assert len(set(stable.asked)) == totals.requests == 300


def test_each_side_is_asked_first_as_often_as_the_other() -> None:
    order: list[str] = []
    requests = (Request(n, BODY) for n in range(4))
    ask_both(requests, Told(order, "s"), Told(order, "c"), Totals(Tolerance()), parallel=1)
    assert order == ["c", "s", "s", "c", "c", "s", "s", "c"]


def test_lines_are_read_only_when_they_are_sent() -> None:
    """Or memory would grow with the file."""
    ahead, lock, most = 0, threading.Lock(), 0

    def lines() -> Iterator[Request]:
        nonlocal ahead, most
        for n in range(200):
            with lock:
                ahead += 1
                most = max(most, ahead)
            yield Request(n, BODY)

    class Counting(Told):
        def ask(self, body: str) -> Answer:
            nonlocal ahead
            with lock:
                ahead -= 1
            return super().ask(body)

    ask_both(lines(), Counting(), Told(), Totals(Tolerance()), parallel=3)
    assert most <= 4


def test_what_is_wrong_with_the_file_ends_it_with_an_error(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(f"{BODY}\n{{\n")
    with pytest.raises(UsageError, match=":2:"):
        ask_both(read_requests(file), Told(), Told(), Totals(Tolerance()), parallel=2)


def test_a_url_without_a_path_gets_seldons() -> None:
    assert Url("http://a:8000", timeout=1, parallel=1).where == "http://a:8000/api/v1.0/predictions"
    assert Url("http://a:8000/", timeout=1, parallel=1).where.endswith("8000/api/v1.0/predictions")
    assert Url("http://a/v2/infer", timeout=1, parallel=1).where == "http://a/v2/infer"
    with pytest.raises(UsageError, match="expected a URL"):
        Url("a:8000", timeout=1, parallel=1)


def test_nobody_there_is_an_answer_with_its_trouble() -> None:
    found = Url("http://127.0.0.1:9", timeout=1, parallel=1).ask(BODY)
    assert (found.ok, found.code) == (False, "no connection")
