"""Counters that all processes of a pod share: one row of memory each, read as their sum.

Why not Seldon's own store: it keeps a worker's metrics as one dict in another process and reads,
changes and writes it back whole for each request, so that the cost grows with every series and
threads lose each other's counts. Here a thread adds to memory that was mapped before the server
forked, and the process of the metrics port reads it. A worker that ends leaves its row to the next:
the sum never falls while the pod lives.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import threading
from collections.abc import Iterable

import numpy as np

ROWS = 64
_CLAIM_SECONDS = 5.0


class Board:
    """`cells` counters. Make it before the server forks."""

    def __init__(self, cells: int, rows: int = ROWS) -> None:
        memory = mmap.mmap(-1, 8 * rows * (cells + 1))
        table = np.frombuffer(memory, dtype=np.float64).reshape(rows, cells + 1)
        self._owners, self._table = table[:, 0], table[:, 1:]
        self._claim = multiprocessing.Lock()
        self._lock = threading.Lock()
        self._mine = self._table[0]
        # Plain Python numbers: a few of them are sooner added than numpy is called.
        self._few = memoryview(self._mine)
        self._pid = 0

    def add(self, cells: Iterable[int], amount: float = 1.0) -> None:
        """Add to a few cells."""
        if self._pid != os.getpid():
            self._take_a_row()
        mine = self._few
        with self._lock:
            for cell in cells:
                mine[cell] += amount

    def add_all(self, amounts: np.ndarray) -> None:
        """Add one amount to every cell."""
        if self._pid != os.getpid():
            self._take_a_row()
        with self._lock:
            self._mine += amounts

    def sums(self) -> np.ndarray:
        """The counters of the whole pod."""
        return self._table.sum(axis=0)

    def _take_a_row(self) -> None:
        """The first row that nobody alive owns: once in each process."""
        if not self._claim.acquire(timeout=_CLAIM_SECONDS):
            raise RuntimeError(f"another process took its counters for over {_CLAIM_SECONDS:g} s")
        try:
            pid = os.getpid()
            if self._pid == pid:
                return
            for row, owner in enumerate(self._owners):
                if not owner or owner == pid or not _alive(int(owner)):
                    self._owners[row] = pid
                    # A fork may have copied the lock while it was held.
                    self._lock = threading.Lock()
                    self._mine = self._table[row]
                    self._few = memoryview(self._mine)
                    self._pid = pid
                    return
        finally:
            self._claim.release()
        raise RuntimeError(f"expected at most {len(self._owners)} processes of a model server")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
