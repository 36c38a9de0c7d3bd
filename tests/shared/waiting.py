"""Waiting for what another process does, which no injected clock can move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

# A limit, not an expectation: a busy machine may take many times what an idle one does.
SECONDS = 480.0


def until(truth: Callable[[], Found], what: str = "it", *, seconds: float = SECONDS) -> Found:
    """Look until `truth` gives something true, and return that; `what` is said if it never does."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not (found := truth()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        pause.wait(0.02)
    return found
