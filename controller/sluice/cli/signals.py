"""SIGTERM and Ctrl-C while a command works."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def handled_by(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Both go to `handler` meanwhile, and to whom they went before afterwards."""
    before = {}
    with suppress(ValueError):  # not in the main thread: whoever runs us there has its own way
        before = {one: signal.signal(one, handler) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
