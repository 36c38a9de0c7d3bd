"""A new version's profile with the bins of the one before: then the two count into the same bins.

Numbers are comparable between two versions only with the same edges, categories of features only
with the same names. The classes of a prediction are the model's own and are matched by name, so
they are never taken over.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sluice_model.bins import Bins, CategoryBins, NumberBins, numbers
from sluice_model.profile import PREDICTION, SCORE, Profile, Variable

MOST_OUTSIDE = 0.05
Key = tuple[str, str]  # kind and name of a variable


def bins_before(
    like: Profile | None,
    key: Key,
    column: Any,
    *,
    categorical: Collection[str] = (),
    hashed: Collection[str] = (),
) -> Bins | None:
    """The bins that `like` has for a variable, None where there are none that fit.

    `column`: the new values, shape (n,). What is to be hashed keeps bins of hashes only, and what
    was hashed stays so. Numbers fit a column of numbers that is not said to be `categorical`.
    """
    kind, name = key
    old = _by_key(like).get(key)
    if old is None:
        return None
    if isinstance(old.bins, CategoryBins):
        stays = kind != PREDICTION and (old.bins.salt is not None or name not in hashed)
        return old.bins if stays else None
    _, wrong = numbers(column)
    is_text = wrong is not None and wrong.any()
    return None if is_text or name in categorical or name in hashed else old.bins


@dataclass(frozen=True)
class Likeness:
    """How a profile's bins compare with those of the one before; each list names variables.

    `changed` says why, `outside` how much of the new data lies outside of bins that were kept.
    """

    kept: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...]
    outside: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people; nothing of what there is none."""
        told = {
            "bins kept": self.kept,
            "new": self.new,
            "no longer there": self.gone,
            "other bins than before": self.changed,
        }
        return [f"{what}: {', '.join(names)}" for what, names in told.items() if names]


def likeness(made: Profile, like: Profile, most: float = MOST_OUTSIDE) -> Likeness:
    """`made` beside `like`. `most`: the share of rows that may lie further outside than before."""
    before, now = _by_key(like), _by_key(made)
    both = [key for key in now if key in before]
    kept = [key for key in both if now[key].bins.content() == before[key].bins.content()]
    changed = [
        f"{_name(key)} ({_kind_of(before[key].bins)} before, {_kind_of(now[key].bins)} now)"
        for key in both
        if key not in kept
    ]
    outside = []
    for key in kept:
        if key[0] == SCORE:
            continue  # its outer bins are bins like all others
        share, old = _outside(now[key]), _outside(before[key])
        if share - old > most:
            outside.append(
                f"{_name(key)}: {share:.1%} of the rows lie outside of the bins that were kept "
                f"({old:.1%} before), where no difference is seen"
            )
    return Likeness(
        kept=tuple(map(_name, kept)),
        new=tuple(_name(key) for key in now if key not in before),
        gone=tuple(_name(key) for key in before if key not in now),
        changed=tuple(changed),
        outside=tuple(outside),
    )


def _by_key(one: Profile | None) -> dict[Key, Variable]:
    return {(v.kind, v.name): v for v in one.variables} if one is not None else {}


def _name(key: Key) -> str:
    return " ".join(key)


def _kind_of(bins: Bins) -> str:
    if isinstance(bins, NumberBins):
        return f"{len(bins.edges)} edges"
    return f"{len(bins.categories)} {'hashed ' if bins.salt is not None else ''}categories"


def _outside(one: Variable) -> float:
    """The share of training's rows with a value that is below, above or none of the bins."""
    if one.counts is None:
        return 0.0
    if isinstance(one.bins, CategoryBins):
        out, values = one.counts[one.bins.rest], sum(one.counts[: one.bins.missing])
    else:
        values = sum(one.counts[: one.bins.missing])
        out = one.counts[0] + one.counts[one.bins.missing - 1]
    return out / values if values else 0.0
