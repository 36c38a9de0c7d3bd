"""Counts what a model was asked and what it said: the only part that runs for each request."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sluice_model import reading
from sluice_model.bins import CategoryBins
from sluice_model.board import Board
from sluice_model.profile import FEATURE, TAG, Profile, Variable
from sluice_model.series import OTHER, SELF, UNKNOWN, Plan

_LOG = logging.getLogger("sluice_model")
Table = tuple[int, list[Any]]  # rows, and a column or None for each observed feature
Key = tuple[str, str]  # kind and name of a variable
_IMAGE_VARIABLE = "PREDICTIVE_UNIT_IMAGE"


class Counting:
    """Counters of one model. No method raises: a failure is counted, and logged the first time."""

    def __init__(self, plan: Plan, board: Board) -> None:
        self._plan, self._board = plan, board
        profile: Profile = plan.profile
        self._key = profile.output_key
        self._features, self._tags = (
            [((one.kind, one.name), plan.of(one), one.bins) for one in profile.of_kind(kind)]
            for kind in (FEATURE, TAG)
        )
        wanted = tuple(name for (_, name), _, _ in self._features)
        self._columns = reading.Columns(profile.columns, wanted)
        self._no_columns = [None] * len(wanted)
        self._predicted, self._score = profile.prediction, profile.score
        self._predicted_start = plan.of(self._predicted) if self._predicted else 0
        self._score_start = plan.of(self._score) if self._score else 0
        self._rows_cell, self._seconds = plan.start("rows"), plan.start("seconds")
        self._slices = [
            ((one.kind, one.name), plan.start("slice", one.name))
            for one in map(plan.variable, profile.slices)
            if self._predicted is not None
        ]
        # Where a slice's variable stands among the cells of a row, behind that of the rows.
        order = [(key, start) for key, start, _ in (*self._features, *self._tags)]
        self._slice_places = [
            (1 + place, base, start)
            for key, start in self._slices
            for place, (other, base) in enumerate(order)
            if other == key
        ]
        self._said: set[str] = set()
        self._busy = threading.local()

    # --- what the model's methods call

    def outermost(self) -> bool:
        """Whether no other observed method of this thread is under way; ends with `leave`."""
        if getattr(self._busy, "now", False):
            return False
        self._busy.now = True
        return True

    def leave(self) -> None:
        self._busy.now = False

    def request(self, features: Any, names: Any, meta: Any, given: Any) -> None:
        """A request that was answered. `given`: the answer, None where there is nothing in it."""
        self._guarded("predict", self._request, features, names, meta, given)

    def raw_request(self, message: Any, given: Any) -> None:
        """The same, with Seldon's messages."""

        def read() -> None:
            features, names, meta = reading.parts(message)
            said = given
            if type(given).__name__ != "SeldonResponse" and given is not None:
                said = reading.parts(given)[0]
            self._request(features, names, meta, said)

        self._guarded("predict", read)

    def feedback(self, message: Any) -> None:
        """A Feedback message of Seldon."""
        self._guarded("feedback", self._feedback, message)

    def _guarded(self, where: str, work: Callable[..., None], *given: Any) -> None:
        begun = time.perf_counter()
        try:
            work(*given)
            self._board.add((self._seconds,), time.perf_counter() - begun)
        except Exception:
            if where not in self._said:
                self._said.add(where)
                _LOG.exception("the model kit could not count a %s (said once)", where)
            try:
                self._board.add((self._plan.start(f"failures {where}"),))
            except Exception:  # the counters themselves are what fails
                _LOG.debug("not counted", exc_info=True)

    # --- requests

    def _request(self, features: Any, names: Any, meta: Any, given: Any) -> None:
        array = reading.answer(given, self._key)
        table = self._columns.of(features, names)
        rows = table[0] if table is not None else (len(array) if array is not None else 0)
        if array is not None and len(array) != rows:
            array = None  # which row an answer belongs to cannot be told
        tags = reading.tags_of(meta) if self._tags else {}
        if rows == 1:
            self._one_row(table, tags, array)
        elif rows:
            self._rows(rows, table, tags, array)

    def _one_row(
        self, table: Table | None, tags: Mapping[str, Any], array: np.ndarray | None
    ) -> None:
        # The way of most requests, so it is written to run few lines.
        columns = table[1] if table is not None else self._no_columns
        found = [self._rows_cell]
        for (_, start, bins), column in zip(self._features, columns, strict=True):
            found.append(start + (bins.missing if column is None else bins.cell(column[0])))
        for key, start, bins in self._tags:
            found.append(start + bins.cell(tags.get(key[1])))
        if array is not None and self._predicted is not None:
            said, score = _said(self._predicted.bins, array[0].tolist())
            for place, base, start in self._slice_places:
                found.append(start + (found[place] - base) * self._predicted.bins.size + said)
            found.append(self._predicted_start + said)
            if self._score is not None:
                found.append(self._score_start + self._score.bins.cell(score))
        self._board.add(found)

    def _rows(
        self, rows: int, table: Table | None, tags: Mapping[str, Any], array: np.ndarray | None
    ) -> None:
        cells = self._cells_of_rows(rows, table, tags)
        found = [start + cell for start, cell in cells.values()]
        if array is not None and self._predicted is not None:
            said, best = _said_of_rows(self._predicted.bins, array)
            found.append(self._predicted_start + said)
            if self._score is not None:
                score = self._score.bins
                lost = best is None
                where = np.full(rows, score.missing) if lost else score.cells(best)
                found.append(self._score_start + where)
            for key, start in self._slices:
                found.append(start + cells[key][1] * self._predicted.bins.size + said)
        whole = np.concatenate(found) if found else np.zeros(0, dtype=np.intp)
        amounts = np.bincount(whole, minlength=self._plan.size)
        amounts[self._rows_cell] += rows
        self._board.add_all(amounts)

    def _cells_of_rows(
        self, rows: int, table: Table | None, tags: Mapping[str, Any]
    ) -> dict[Key, tuple[int, np.ndarray]]:
        columns = table[1] if table is not None else self._no_columns
        found = {}
        for (key, start, bins), column in zip(self._features, columns, strict=True):
            lost = column is None
            found[key] = start, np.full(rows, bins.missing) if lost else bins.cells(column)
        for key, start, bins in self._tags:
            found[key] = start, np.full(rows, bins.cell(tags.get(key[1])))
        return found

    # --- feedback

    def _feedback(self, message: Any) -> None:
        who = _answered_by(message.response)
        plan, board = self._plan, self._board
        board.add((plan.start(f"answered {who}"),))
        if who == OTHER:
            return  # Its truth says nothing about this version.
        self._reward(message.reward)
        predicted = plan.profile.prediction
        if predicted is None or not message.HasField("truth"):
            return
        truth = reading.answer(reading.parts(message.truth)[0], self._key)
        if truth is None or not message.HasField("response"):
            return
        said = reading.answer(reading.parts(message.response)[0], self._key)
        if said is None or len(said) != len(truth):
            return
        if isinstance(predicted.bins, CategoryBins):
            self._outcomes(predicted, said, truth, message)
        else:
            error = np.abs(_flat(said) - _flat(truth))
            error = error[np.isfinite(error)]
            board.add((plan.start("error rows"),), len(error))
            board.add((plan.start("absolute"),), float(error.sum()))
            board.add((plan.start("squared"),), float((error**2).sum()))

    def _reward(self, reward: float) -> None:
        # A message without a reward has one of 0: its format tells no difference. Leaving zeros out
        # would make every mean of rewards that are 0 or 1 a 1.
        if not math.isfinite(reward):
            return  # it would spoil the sum for good
        self._board.add((self._plan.start("rewards"),))
        if reward:
            sign = "positive" if reward > 0 else "negative"
            self._board.add((self._plan.start(f"reward {sign}"),), abs(reward))

    def _outcomes(
        self, predicted: Variable, said: np.ndarray, truth: np.ndarray, message: Any
    ) -> None:
        bins = predicted.bins
        was = prediction_cells(predicted, truth)
        known = was != bins.missing
        wrong = (prediction_cells(predicted, said) != was).astype(np.intp)
        found = [self._plan.start("truth") + 2 * was[known] + wrong[known]]
        if self._slices and message.HasField("request"):
            features, names, meta = reading.parts(message.request)
            table = self._columns.of(features, names)
            if table is None or table[0] == len(was):
                cells = self._cells_of_rows(len(was), table, reading.tags_of(meta))
                for key, _ in self._slices:
                    where = cells[key][1]
                    start = self._plan.start("feedback slice", key[1])
                    found.append(start + 2 * where[known] + wrong[known])
        amounts = np.bincount(np.concatenate(found), minlength=self._plan.size)
        self._board.add_all(amounts)


def _said(bins: Any, row: Any) -> tuple[int, float | None]:
    """The predicted cell and the score of one row: as `prediction_cells` and `scores`."""
    if not isinstance(row, list) or len(row) == 1:
        value = row[0] if isinstance(row, list) else row
        if isinstance(bins, CategoryBins) and not isinstance(value, (str, bytes, bool)):
            return int(_by_place(bins, np.asarray([value]))[0]), None
        return bins.cell(value), None
    if not isinstance(bins, CategoryBins):
        raise ValueError(f"expected one number a row, as in training, found {len(row)}")
    best = max(row)
    if any(value != value for value in row):
        return bins.missing, None
    return (row.index(best) if len(row) == bins.rest else bins.rest), best


def prediction_cells(predicted: Variable, array: np.ndarray) -> np.ndarray:
    """The predicted cell of each row: the greatest column, the label, or the number's bin."""
    return _said_of_rows(predicted.bins, array)[0]


def scores(array: np.ndarray) -> np.ndarray:
    """The greatest column of each row: how sure the model was."""
    if array.ndim == 1 or array.shape[1] == 1:
        return np.full(len(array), np.nan)
    return array.astype(float).max(axis=1)


def _said_of_rows(bins: Any, array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(predicted cell, score) of each row; no scores where there is one column."""
    if array.ndim == 1 or array.shape[1] == 1:
        column = array.reshape(-1)
        # 0, 1, 2 are classes by their place where the profile has names for them.
        if isinstance(bins, CategoryBins) and array.dtype.kind in "iuf":
            return _by_place(bins, column), None
        return bins.cells(column), None
    if not isinstance(bins, CategoryBins):
        raise ValueError(f"expected one number a row, as in training, found {array.shape[1]}")
    values = np.ascontiguousarray(array, dtype=float)
    found = values.argmax(axis=1)
    # NaN is greater than all to argmax, so that a row with one has it as its score.
    best = values.ravel().take(found + _offsets(len(values), values.shape[1]))
    if array.shape[1] != bins.rest:
        found[:] = bins.rest  # other classes than in training: which is which cannot be told
    lost = best != best
    if lost.any():
        found[lost] = bins.missing
    return found, best


def _offsets(rows: int, width: int) -> np.ndarray:
    return np.arange(0, rows * width, width)


def _by_place(bins: CategoryBins, column: np.ndarray) -> np.ndarray:
    named = bins.cells(column)
    if (named < bins.rest).any():
        return named
    place = np.nan_to_num(column.astype(float), nan=-1.0)
    fits = (place >= 0) & (place < bins.rest) & (place == np.floor(place))
    return np.where(fits, np.where(fits, place, 0).astype(np.intp), named)


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)[:, 0].astype(float)


def _answered_by(response: Any) -> str:
    """Whether this version gave the answer: Seldon's answers name the images they came through."""
    mine = os.environ.get(_IMAGE_VARIABLE)
    images = set(response.meta.requestPath.values())
    if not mine or not images:
        return UNKNOWN
    return SELF if mine in images else OTHER
