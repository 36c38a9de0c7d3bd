"""A file of requests, sent to both versions: a few at a time, each to both, in turns first.

Threads take the next line when they are free, so that memory does not grow with the file.
"""

from __future__ import annotations

import gzip
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import urllib3

from sluice.compare.answers import Answer
from sluice.compare.totals import Totals
from sluice.errors import UsageError

PATH = "/api/v1.0/predictions"


class Side(Protocol):
    """One version. `where` is for people. Safe to share between threads; never raises."""

    @property
    def where(self) -> str: ...

    def ask(self, body: str) -> Answer:
        """The answer to one request, or an Answer with its trouble."""
        ...


class Url:
    """A version behind a URL. Without a path of its own the URL gets Seldon's."""

    def __init__(
        self, url: str, *, timeout: float, parallel: int, headers: dict[str, str] | None = None
    ) -> None:
        try:
            parsed = urllib3.util.parse_url(url)
        except urllib3.exceptions.LocationParseError as error:
            raise UsageError(f"{url}: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"{url}: expected a URL such as http://iris-v1:8000")
        self.where = url if parsed.path not in (None, "/") else url.rstrip("/") + PATH
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        # A retry would hide an error and double a latency.
        self._pool = urllib3.PoolManager(
            maxsize=parallel,
            retries=False,
            timeout=urllib3.Timeout(connect=min(5.0, timeout), read=timeout),
        )

    def ask(self, body: str) -> Answer:
        begun = time.perf_counter()
        try:
            got = self._pool.request("POST", self.where, body=body.encode(), headers=self._headers)
        except urllib3.exceptions.TimeoutError as error:
            refused = isinstance(error, urllib3.exceptions.NewConnectionError)
            trouble = "no connection" if refused else "timeout"
            return Answer(0, time.perf_counter() - begun, trouble=trouble)
        except urllib3.exceptions.HTTPError:
            return Answer(0, time.perf_counter() - begun, trouble="no connection")
        return Answer(got.status, time.perf_counter() - begun, got.data)


@dataclass(frozen=True)
class Request:
    """A line of the file."""

    number: int
    body: str


def read_requests(path: Path, limit: int | None = None) -> Iterator[Request]:
    """JSON Lines, one request body a line; `.gz` is unpacked, `-` is standard input.

    Raises UsageError that names the line.
    """
    try:
        with _opened(path) as file:
            lines = ((n, line) for n, line in enumerate(file, 1) if line.strip())
            for number, line in itertools.islice(lines, limit):
                try:
                    found = json.loads(line)
                except ValueError as error:
                    raise UsageError(f"{path}:{number}: expected JSON, {error}") from error
                if not isinstance(found, dict):
                    raise UsageError(
                        f"{path}:{number}: expected a request as a JSON object, such as "
                        f'{{"data": {{"ndarray": [[1, 2]]}}}}, found {line[:40].strip()}'
                    )
                yield Request(number, line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _opened(path: Path):  # type: ignore[no-untyped-def]
    if str(path) == "-":
        return open(sys.stdin.fileno(), encoding="utf-8", closefd=False)
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open()


def ask_both(
    requests: Iterator[Request],
    stable: Side,
    candidate: Side,
    totals: Totals,
    *,
    parallel: int,
    tell: Callable[[int], None] = lambda _: None,
) -> None:
    """Send every request to both, and add what came back. `tell` is told how many are done.

    Of each two requests one asks the stable first, the other the candidate. What `requests` raises
    ends it.
    """
    reading, counting = threading.Lock(), threading.Lock()
    trouble: list[BaseException] = []

    def work() -> None:
        while not trouble:
            try:
                with reading:
                    request = next(requests, None)
                if request is None:
                    return
                order = (stable, candidate) if request.number % 2 else (candidate, stable)
                answers = {id(side): side.ask(request.body) for side in order}
                with counting:
                    totals.add(
                        request.number, request.body, answers[id(stable)], answers[id(candidate)]
                    )
                    tell(totals.requests)
            except BaseException as error:
                trouble.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(parallel)]
    for one in threads:
        one.start()
    try:
        for one in threads:
            one.join()
    except BaseException as error:
        trouble.append(error)
        raise
    if trouble:
        raise trouble[0]
