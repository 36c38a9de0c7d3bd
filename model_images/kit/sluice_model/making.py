"""Makes a profile out of training data: bins first, then how the data and the model fill them."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sluice_model import profile as profiles
from sluice_model import reading
from sluice_model.bins import Bins, CategoryBins, NumberBins, canonical, hidden, numbers
from sluice_model.counting import prediction_cells, scores
from sluice_model.likeness import bins_before
from sluice_model.profile import FEATURE, PREDICTION, SCORE, TAG, Profile, ProfileError, Variable
from sluice_model.series import Plan

QUANTILE, FIXED = "quantile", "fixed"
# Finer at the top, where a classifier's scores are.
SCORE_EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_DIGITS = 3
_KNOWN_DIGITS = 6
_BATCH = 1024


@dataclass(frozen=True)
class Wish:
    """What the profile should be like. `observe` empty: every column but the target.

    `like`: the profile of the version before, whose bins are kept where they fit.
    """

    name: str = "model"
    version: str = ""
    target: str | None = None
    observe: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    salt: str = ""
    bins: int = 10
    binning: str = QUANTILE
    categories: int = 20
    least_rows: int = 10
    slices: tuple[str, ...] = ()
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    output_key: str | None = None
    limit: int | None = None
    like: Profile | None = None


@dataclass(frozen=True)
class Table:
    """Columns of text or numbers, by name, all of one length."""

    columns: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def read_csv(path: Path) -> Table:
    """A CSV file with a header. Raises ProfileError that names the line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            rows = []
            for line in lines:
                if line and len(line) != len(header):
                    raise ProfileError(
                        f"{path}:{lines.line_num}: expected {len(header)} cells, found {len(line)}"
                    )
                if line:
                    rows.append(line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{path} cannot be read as CSV: {error}") from error
    if not rows or len(set(header)) != len(header):
        raise ProfileError(f"{path}: expected a header of different names and rows below it")
    cells = np.array(rows, dtype=object)
    return Table({name: cells[:, i] for i, name in enumerate(header)})


def make(training: Table, wish: Wish, model: Any = None, held_out: Table | None = None) -> Profile:
    """A profile of `training`; predictions and scores by `model` over `held_out`.

    Without a model the target's own distribution stands for the predictions, and there are no
    scores. Raises ProfileError for what does not fit together, or is too many series.
    """
    columns = tuple(name for name in training.columns if name != wish.target)
    if wish.target is not None and wish.target not in training.columns:
        raise ProfileError(f"target {wish.target}: expected one of {list(training.columns)}")
    asked = {*wish.observe, *wish.leave_out, *wish.categorical, *wish.hashed}
    if unknown := sorted(asked - {*columns}):
        raise ProfileError(f"{unknown}: expected features among {list(columns)}")
    variables = []
    for name in columns:
        if name not in wish.leave_out and (not wish.observe or name in wish.observe):
            variables.append(_variable(FEATURE, name, training.columns[name], wish))
    for name, categories in wish.tags.items():
        variables.append(Variable(TAG, name, CategoryBins(categories), None))
    if model is not None:
        variables += _said(model, held_out or training, columns, training, wish)
    elif wish.target is not None:
        variables.append(_variable(PREDICTION, wish.target, training.columns[wish.target], wish, 1))
    made = Profile(
        wish.name, wish.version, training.rows, columns, tuple(variables), wish.slices,
        wish.output_key,
    )  # fmt: skip
    profiles.check(made)
    Plan(made).check(wish.limit)
    return made


def _variable(
    kind: str, name: str, column: np.ndarray, wish: Wish, least_rows: int | None = None
) -> Variable:
    least = wish.least_rows if least_rows is None else least_rows
    bins: Bins
    values, wrong = numbers(column)
    if (before := _before(wish, kind, name, column)) is not None:
        bins = before
    elif name in wish.categorical or name in wish.hashed or (wrong is not None and wrong.any()):
        bins = category_bins(column, wish, name, least)
    elif np.isfinite(values).any():
        bins = NumberBins(edges(values, wish.bins, wish.binning))
    else:
        raise ProfileError(f"{kind} {name}: expected values, found none: leave it out")
    return Variable(kind, name, bins, _counts(bins.cells(column), bins))


def _before(wish: Wish, kind: str, name: str, column: Any) -> Bins | None:
    return bins_before(
        wish.like, (kind, name), column, categorical=wish.categorical, hashed=wish.hashed
    )


def category_bins(column: Sequence[Any], wish: Wish, name: str, least_rows: int) -> CategoryBins:
    """The most frequent categories, none of fewer rows than `least_rows`: a rare one could tell
    who was in the training data, and is the rest's instead."""
    counts = Counter(text for text in map(canonical, column) if text is not None)
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    names = [text for text, n in order if n >= least_rows][: wish.categories]
    if name not in wish.hashed:
        return CategoryBins(names)
    salt = wish.salt or name
    return CategoryBins([hidden(salt, text) for text in names], salt)


def edges(values: np.ndarray, bins: int, binning: str) -> list[float]:
    """At most `bins` + 1 edges, the outer ones beyond the data, so that new extremes are seen.

    They are rounded to three digits, so that no edge is a value of one person. A column of few
    different values has a bin for each.
    """
    values = values[np.isfinite(values)]
    known = np.unique(values)
    if len(known) <= bins:
        inner = [_rounded(value, _KNOWN_DIGITS) for value in known]
        return sorted({*inner, inner[-1] + _step(inner[-1], _DIGITS)})
    low, high = _outwards(known[0], known[-1])
    if binning == FIXED:
        between = np.linspace(low, high, bins + 1)[1:-1]
    else:
        between = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    inner = [_rounded(value, _DIGITS) for value in between]
    return sorted({low, high, *(value for value in inner if low < value < high)})


def _outwards(low: float, high: float) -> tuple[float, float]:
    step = _step(max(abs(low), abs(high)), _DIGITS)
    # The upper edge is not in the bin below it.
    return (
        _rounded(math.floor(low / step) * step, _KNOWN_DIGITS),
        _rounded((math.floor(high / step) + 1) * step, _KNOWN_DIGITS),
    )


def _step(value: float, digits: int) -> float:
    return float(10.0 ** (math.floor(math.log10(abs(value) or 1.0)) + 1 - digits))


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _counts(cells: np.ndarray, bins: Bins) -> tuple[int, ...]:
    return tuple(int(n) for n in np.bincount(cells, minlength=bins.size))


def _said(
    model: Any, table: Table, columns: tuple[str, ...], training: Table, wish: Wish
) -> list[Variable]:
    """Predictions and scores of the model over a table."""
    if missing := [name for name in columns if name not in table.columns]:
        raise ProfileError(f"the hold-out set has no column {missing}: expected {list(columns)}")
    answers = np.concatenate([*_answers(model, table, columns, wish)])
    name = wish.target or "prediction"
    bins: Bins
    wide = answers.ndim == 2 and answers.shape[1] > 1
    if wide:
        bins = CategoryBins(_classes(model, answers, wish))
    elif answers.dtype.kind in "fiu" and wish.target not in wish.categorical:
        _, wrong = numbers(training.columns[wish.target]) if wish.target else (None, None)
        if wrong is not None and wrong.any():  # the model answers places of named classes
            bins = CategoryBins(sorted({str(c) for c in map(canonical, training.columns[name])}))
        else:
            said_numbers = answers.reshape(-1).astype(float)
            bins = _before(wish, PREDICTION, name, said_numbers) or NumberBins(
                edges(said_numbers, wish.bins, wish.binning)
            )
    else:
        bins = category_bins(answers.reshape(-1), wish, name, 1)
    empty = Variable(PREDICTION, name, bins, None)
    counts = _counts(prediction_cells(empty, answers), bins)
    said = [Variable(PREDICTION, name, bins, counts)]
    if wide:
        score = NumberBins(SCORE_EDGES)
        said.append(Variable(SCORE, "score", score, _counts(score.cells(scores(answers)), score)))
    return said


def _answers(model: Any, table: Table, columns: tuple[str, ...], wish: Wish) -> Any:
    whole = _matrix([table.columns[name] for name in columns])
    for begin in range(0, table.rows, _BATCH):
        given = model.predict(whole[begin : begin + _BATCH], list(columns))
        array = reading.answer(given, wish.output_key)
        if array is None or len(array) != len(whole[begin : begin + _BATCH]):
            raise ProfileError(
                "expected an answer for each row of the hold-out set, found "
                f"{None if array is None else array.shape}; for an answer that is a dict, say "
                "where its predictions are with --output-key"
            )
        yield array


def _matrix(columns: list[np.ndarray]) -> np.ndarray:
    """Numbers where all are, as a server would get them; else objects with numbers in them."""
    found = [numbers(column) for column in columns]
    if all(wrong is None or not wrong.any() for _, wrong in found):
        return np.column_stack([values for values, _ in found])
    mixed = [
        column if wrong is not None and wrong.any() else values.astype(object)
        for column, (values, wrong) in zip(columns, found, strict=True)
    ]
    return np.column_stack(mixed)


def _classes(model: Any, answers: np.ndarray, wish: Wish) -> list[str]:
    names = getattr(model, "class_names", None)
    found = list(names() if callable(names) else names or [])
    if not found:
        found = [f"t:{i}" for i in range(answers.shape[1])]  # as Seldon names them
    if len(found) != answers.shape[1]:
        raise ProfileError(f"expected {answers.shape[1]} class names, found {found}")
    return [str(name) for name in found]
