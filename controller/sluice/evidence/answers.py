"""What of a model's answers is compared: counters of the model kit -> streams of shares.

A *cell* is one counter, summed over a version's workers. A *stream* has a share on both sides: the
cells of its events over those of its base (`evidence.difference`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sluice.api.policy import Metric
from sluice.evidence.cuts import cuts
from sluice.evidence.formulas import BoolArray
from sluice.evidence.spec import AnswerPlan

MOST_STREAMS = 200
"""Of one check. Its state travels in the status: some hundred bytes a stream."""

_HASHED = re.compile(r"c\d\d+")  # how the kit names a hashed category
_SHOWN = 4


class Counted(StrEnum):
    """What a counter of the kit counts."""

    PREDICTION = "prediction"
    OUTCOME = "outcome"


@dataclass(frozen=True)
class Cell:
    """One counter. `label` is the predicted class or range, or the true class; `wrong` is for
    outcomes. With `slice` it counts only rows in the range `part` of that feature or tag.
    """

    counted: Counted
    label: str = ""
    wrong: bool = False
    slice: str = ""
    part: str = ""


@dataclass(frozen=True)
class Shown:
    """What a version was seen to count; `bins` are the hashes of its profiles' bins."""

    cells: frozenset[Cell] = frozenset()
    bins: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Incomparable:
    """Why two versions' answers cannot be compared, as a CamelCase reason and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True)
class Streams:
    """S streams over C cells: `events` and `base` of shape (S, C). Stream 0 has the whole base.

    `names` tell them apart for good, `places` say where ("" is everywhere, else a slice's range or
    a true class), `sets` what the share is of (classes; "" for wrong answers).
    """

    names: tuple[str, ...]
    places: tuple[str, ...]
    sets: tuple[str, ...]
    cells: tuple[Cell, ...]
    events: BoolArray
    base: BoolArray


def streams_of(plan: AnswerPlan, stable: Shown, candidate: Shown) -> Streams | Incomparable:
    """The streams of a check, or why there are none. Both sides must have been seen."""
    for what, side in (("stable", stable), ("candidate", candidate)):
        if len(side.models) > 1:
            return Incomparable(
                "AnswersNotComparable",
                f"several models of the {what} count their answers ({_some(side.models)}): observe "
                "one of them, the one whose answer goes out",
            )
    whole = _of_outcomes if plan.metric is Metric.FEEDBACK else _of_predictions
    parts = whole(plan, stable, candidate)
    if isinstance(parts, Incomparable):
        return parts
    for name in plan.slices:
        found = _of_slice(plan, name, stable, candidate)
        if isinstance(found, Incomparable):
            return found
        parts += found
    if len(parts) > MOST_STREAMS:
        return Incomparable(
            "TooManySlices",
            f"{len(parts)} shares would be compared, at most {MOST_STREAMS} are: take slices of "
            "fewer bins, or fewer of them",
        )
    cells = tuple(sorted({cell for part in parts for cell in part.base}, key=_order))
    return Streams(
        names=tuple(part.name for part in parts),
        places=tuple(part.place for part in parts),
        sets=tuple(part.what for part in parts),
        cells=cells,
        events=np.array([[c in part.events for c in cells] for part in parts], dtype=np.bool_),
        base=np.array([[c in part.base for c in cells] for part in parts], dtype=np.bool_),
    )


@dataclass(frozen=True)
class _Part:
    place: str
    what: str
    base: frozenset[Cell]
    events: frozenset[Cell]

    @property
    def name(self) -> str:
        return f"{self.place}: {self.what}" if self.place else self.what


def _of_predictions(
    plan: AnswerPlan, stable: Shown, candidate: Shown
) -> list[_Part] | Incomparable:
    del plan
    ours, theirs = (_cells(side, Counted.PREDICTION) for side in (stable, candidate))
    if (problem := _differ("classes or ranges", _labels(ours), _labels(theirs))) is not None:
        return problem
    labels = sorted(_labels(ours))
    if len(labels) < 2:
        return Incomparable(
            "AnswersNotCounted",
            "no predictions are counted: make the profile with a target, or with --model",
        )
    return [_share("", _classes(labels, chosen), ours) for chosen in _smaller(cuts(len(labels)))]


def _of_outcomes(plan: AnswerPlan, stable: Shown, candidate: Shown) -> list[_Part] | Incomparable:
    ours, theirs = (_cells(side, Counted.OUTCOME) for side in (stable, candidate))
    for what, cells in (("stable", ours), ("candidate", theirs)):
        if not cells:
            return Incomparable(
                "NoOutcomes",
                f"the {what} counts no right and wrong answers: feedback is compared for models "
                "that predict a class",
            )
    parts = [_wrong("", ours | theirs)]
    if plan.per_class:
        problem = _differ("true classes", _labels(ours), _labels(theirs))
        if problem is not None:
            return problem
        for label in sorted(_labels(ours)):
            parts.append(_wrong(f"true {label}", frozenset(c for c in ours if c.label == label)))
    return parts


def _of_slice(
    plan: AnswerPlan, name: str, stable: Shown, candidate: Shown
) -> list[_Part] | Incomparable:
    feedback = plan.metric is Metric.FEEDBACK
    counted = Counted.OUTCOME if feedback else Counted.PREDICTION
    ours, theirs = (_cells(side, counted, name) for side in (stable, candidate))
    for what, cells in (("stable", ours), ("candidate", theirs)):
        if not cells:
            return Incomparable(
                "SliceNotCounted",
                f"the profile of the {what} has no slice {name!r}: make it with "
                f"`--slice {name!r}`, or take the slice out of the check",
            )
    ranges = {cell.part for cell in ours}
    problem = _differ(f"bins of the slice {name!r}", ranges, {cell.part for cell in theirs})
    if problem is not None:
        return problem
    if stable.bins != candidate.bins and any(_HASHED.fullmatch(part) for part in ranges):
        return Incomparable(
            "AnswersNotComparable",
            f"the slice {name!r} has hashed categories, and the bins of the two profiles are not "
            "the same: make both profiles with the same categories and salt",
        )
    parts = []
    for part in sorted(ranges):
        place = f"{name}={part}"
        here = frozenset(c for c in ours | theirs if c.part == part)
        if feedback:
            parts.append(_wrong(place, here))
        else:
            parts += [_share(place, {label}, here) for label in sorted(_labels(here))]
    return parts


def _share(place: str, classes: Iterable[str], base: frozenset[Cell]) -> _Part:
    chosen = set(classes)
    events = frozenset(c for c in base if c.label in chosen)
    return _Part(place, " or ".join(sorted(chosen)), base, events)


def _wrong(place: str, base: frozenset[Cell]) -> _Part:
    return _Part(place, "wrong", base, frozenset(c for c in base if c.wrong))


def _classes(labels: Sequence[str], chosen: BoolArray) -> set[str]:
    return {label for label, taken in zip(labels, chosen.tolist(), strict=True) if taken}


def _smaller(sets: BoolArray) -> BoolArray:
    """A set and its complement are one comparison: the one with fewer classes is told."""
    many = sets.sum(axis=1) > sets.shape[1] / 2
    out: BoolArray = np.where(many[:, None], ~sets, sets)
    return out


def _cells(side: Shown, counted: Counted, name: str = "") -> frozenset[Cell]:
    return frozenset(c for c in side.cells if c.counted is counted and c.slice == name)


def _labels(cells: Iterable[Cell]) -> set[str]:
    return {cell.label for cell in cells}


def _differ(what: str, stable: set[str], candidate: set[str]) -> Incomparable | None:
    if stable == candidate:
        return None
    only = [
        f"only the {side} has {_some(names)}"
        for side, names in (("stable", stable - candidate), ("candidate", candidate - stable))
        if names
    ]
    return Incomparable(
        "AnswersNotComparable",
        f"the two versions have other {what}: {'; '.join(only)}. Give both profiles the same "
        "(bins: make the candidate's with `--like` the stable's), or take this check out for this "
        "rollout",
    )


def _some(names: Iterable[str]) -> str:
    ranked = sorted(names)
    more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    return ", ".join(ranked[:_SHOWN]) + more


def _order(cell: Cell) -> tuple[str, str, str, str, bool]:
    return cell.counted.value, cell.slice, cell.part, cell.label, cell.wrong
