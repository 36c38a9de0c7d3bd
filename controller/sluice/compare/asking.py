"""Requests, sent to both versions: a few at a time, each to both, in turns first.

Threads take the next one when they are free, so that memory does not grow with their number.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from sluice.compare.answers import Answer
from sluice.compare.lines import Request
from sluice.compare.totals import Totals


class Side(Protocol):
    """One version. `where` is for people. Safe to share between threads."""

    @property
    def where(self) -> str: ...

    def ask(self, body: str) -> Answer:
        """The answer to one request, or an Answer with its trouble. What it raises ends it all."""
        ...


def ask_both(
    requests: Iterator[Request],
    stable: Side,
    candidate: Side,
    totals: Totals,
    *,
    parallel: int,
    tell: Callable[[int], None] = lambda _: None,
    halt: Callable[[], bool] = lambda: False,
) -> None:
    """Send every request to both, and add what came back. `tell` is told how many are done.

    Of each two requests one asks the stable first, the other the candidate. What `requests` raises
    ends it, and so does `halt`, which is looked at before each.
    """
    reading, counting = threading.Lock(), threading.Lock()
    trouble: list[BaseException] = []

    def work() -> None:
        while not trouble and not halt():
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
