"""Two answers to one request, and in what they differ. Pure."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sluice.compare.answers import Answer, Said, read

# Where nothing else is asked, numbers may differ by what a float loses on its way through JSON.
SAME_NUMBER = 1e-6
_NONE_AGREES = itertools.repeat(False)


class What(enum.IntEnum):
    """The gravest thing that differs, from nothing to worst."""

    NOTHING = 0
    DISTANCE = 1
    LABEL = 2
    FAILED = 3  # the candidate alone did not answer
    SCHEMA = 4


@dataclass(frozen=True)
class Difference:
    """Of one pair. `counted`: rows of the stable's answer, `agreeing`: those the candidate has too.

    Where the stable itself gave no answer, nothing is counted. `moved`: stable's and candidate's
    label of each row that has one. `greatest` distance of a number, absolute; `relative` to the
    stable's. `by_column`: the greatest of each column. `classes`: rows, and agreeing ones, of each
    class that the stable predicts; None where it predicts numbers.
    """

    what: What
    counted: int = 0
    agreeing: int = 0
    fields: tuple[str, ...] = ()
    schemas: tuple[str, str] = ("", "")
    moved: tuple[tuple[str, str], ...] = ()
    greatest: float = 0.0
    relative: float = 0.0
    by_column: dict[str, float] | None = None
    classes: Mapping[str, tuple[int, int]] | None = None


def compare(stable: Answer, candidate: Answer, distance: float | None = None) -> Difference:
    """In what the candidate's answer differs.

    A row agrees if its label (or text) is the same and no number is further away than `distance`
    (default: labels alone decide where there are some, else numbers may differ by SAME_NUMBER of
    their size).
    """
    reference = read(stable) if stable.ok else None
    if reference is None:
        return Difference(What.NOTHING)
    if not candidate.ok:
        return Difference(
            What.FAILED, max(1, reference.rows), classes=_classes(reference, _NONE_AGREES)
        )
    said = read(candidate)
    if said is None:
        return _other_schema(reference, ["kind"], "no message of a model")
    fields = reference.schema.differences(said.schema)
    if fields:
        return _other_schema(reference, fields, said.schema.text())
    return _rows(reference, said, distance)


def _other_schema(reference: Said, fields: Sequence[str], found: str) -> Difference:
    return Difference(
        What.SCHEMA,
        max(1, reference.rows),
        fields=tuple(fields),
        schemas=(reference.schema.text(), found),
        classes=_classes(reference, _NONE_AGREES),
    )


def _rows(reference: Said, said: Said, distance: float | None) -> Difference:
    labels, others = reference.labels(), said.labels()
    moved = tuple(zip(labels, others, strict=True)) if labels and others else ()
    agree = np.ones(reference.rows, dtype=bool)
    if moved:
        agree &= np.array([one == other for one, other in moved])
    what = What.LABEL if not agree.all() else What.NOTHING
    greatest = relative = 0.0
    by_column = None
    if _length(reference) != _length(said):  # of lists in JSON
        return Difference(
            What.DISTANCE, reference.rows, moved=moved, greatest=np.inf,
            classes=_classes(reference, _NONE_AGREES),
        )  # fmt: skip
    if reference.numbers is not None and said.numbers is not None and reference.numbers.size:
        # Missing in both is alike, missing in one as far away as can be.
        lost, also = np.isnan(reference.numbers), np.isnan(said.numbers)
        away = np.where(lost & also, 0.0, np.abs(said.numbers - reference.numbers))
        away = np.where(lost ^ also, np.inf, away)
        away = np.nan_to_num(away, nan=0.0, posinf=np.inf)  # inf - inf
        size = np.maximum(np.abs(np.nan_to_num(reference.numbers)), SAME_NUMBER)
        greatest, relative = float(away.max()), float((away / size).max())
        by_column = _by_column(reference, away.max(axis=0))
        if distance is not None:
            near = (away <= distance).all(axis=1)
        elif labels is None:
            near = (away <= SAME_NUMBER * np.maximum(size, 1.0)).all(axis=1)
        else:
            near = np.ones(len(agree), dtype=bool)
        if not near.all():
            what = max(what, What.DISTANCE)
        agree &= near
    return Difference(
        what, reference.rows, int(agree.sum()), moved=moved, greatest=greatest, relative=relative,
        by_column=by_column, classes=_classes(reference, agree),
    )  # fmt: skip


def _classes(reference: Said, agree: Iterable[bool]) -> dict[str, tuple[int, int]] | None:
    classes = reference.classes()
    if classes is None:
        return None
    found: dict[str, tuple[int, int]] = {}
    for name, same in zip(classes, agree, strict=False):
        rows, agreeing = found.get(name, (0, 0))
        found[name] = rows + 1, agreeing + bool(same)
    return found


def _length(said: Said) -> int:
    return 0 if said.numbers is None else said.numbers.size


def _by_column(reference: Said, greatest: np.ndarray) -> dict[str, float]:
    names = reference.schema.names
    if len(names) != len(greatest) or reference.schema.kind == "jsonData":
        names = tuple(str(i) for i in range(len(greatest)))
    return dict(zip(names, map(float, greatest), strict=True))
