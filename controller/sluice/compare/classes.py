"""Agreement of every class that the stable predicts: a rare one is not averaged away.

Each class is judged as the whole is, with one risk for all. That of a wrong Harm is split, half for
the whole and half for the classes in equal parts (Bonferroni). That of a wrong Pass need not be: a
Pass takes all that are waited for, so one that is below would have to be shown wrongly itself
(an intersection-union test, Berger 1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sluice.compare.checks import HARM, NO_DATA, PASS, UNDECIDED, Check, agreement, percent
from sluice.compare.exact import tries_needed

MOST_CLASSES = 200
"""More than these are no classes: free text, or numbers that happen to be whole."""
LONGEST_CLASS = 100
PREFIX = "class "
CLASSES = "classes"
"""The name of the one check that there is where the stable predicts no classes."""
_NAMED = 3
_GRAVEST = {HARM: 0, NO_DATA: 1, UNDECIDED: 2, PASS: 3}


@dataclass(frozen=True)
class PerClass:
    """At least `agreement` of each class's rows must agree. A class of fewer than `least_rows`
    (None: as many as it takes to show that, where all agree) is judged for harm alone."""

    agreement: float
    least_rows: int | None = None

    def waited_from(self, risk: float) -> int:
        """The rows of a class that a Pass waits for."""
        return self.least_rows or tries_needed(self.agreement, risk)


class Classes:
    """Rows, and rows that agree, of each class. Of a size that does not grow with the requests."""

    def __init__(self) -> None:
        self.counts: dict[str, tuple[int, int]] = {}
        self._trouble = ""

    def add(self, found: Mapping[str, tuple[int, int]] | None) -> None:
        """Count what one answer of the stable predicts; None: numbers."""
        if found is None:
            self._trouble = "the stable predicts numbers"
            return
        for name, (rows, agreeing) in found.items():
            if name not in self.counts:
                if len(name) > LONGEST_CLASS:
                    self._trouble = (
                        f"the stable predicts texts of more than {LONGEST_CLASS} characters"
                    )
                    continue
                if len(self.counts) >= MOST_CLASSES:
                    self._trouble = f"the stable predicts more than {MOST_CLASSES} different ones"
                    continue
            had, agreed = self.counts.get(name, (0, 0))
            self.counts[name] = had + rows, agreed + agreeing

    @property
    def judged(self) -> bool:
        """Whether these are classes."""
        return bool(self.counts) and not self._trouble

    def checks(self, wanted: PerClass, risk: float) -> list[Check]:
        """A check for each class, the most frequent first; one that says why there are none.

        `risk` is the tolerance's.
        """
        if self._trouble:
            words = f"there are no classes to judge, {self._trouble}: ask without"
            return [_none(UNDECIDED, wanted, words)]
        if not self.counts:
            return [_none(NO_DATA, wanted, "the stable answered no request")]
        waited, part = wanted.waited_from(risk), risk / 2 / len(self.counts)
        by_rows = sorted(self.counts.items(), key=lambda item: (-item[1][0], item[0]))
        return [_check(name, *counted, wanted, risk, part, waited) for name, counted in by_rows]


def _check(
    name: str, rows: int, agreeing: int, wanted: PerClass, risk: float, part: float, waited: int
) -> Check:
    said = f"{agreeing:,} of {rows:,} rows agree"
    found = agreement(
        PREFIX + name, agreeing, rows, wanted.agreement, risk=risk, harm_risk=part, said=said
    )
    if rows >= waited or found.verdict != UNDECIDED:
        return found
    words = f"{found.message}, so only harm counts here"
    return replace(found, message=words, harm_only=True)


def _none(verdict: str, wanted: PerClass, words: str) -> Check:
    return Check(CLASSES, verdict, 0.0, 0.0, 1.0, wanted.agreement, 0, words)


def of_class(check: Check) -> bool:
    """Whether it is the check of one class."""
    return check.name.startswith(PREFIX)


def gravest(checks: Sequence[Check], most: int) -> list[Check]:
    """Without all but the `most` gravest checks of classes, in the order given."""
    classes = [one for one in checks if of_class(one)]
    if len(classes) <= most:
        return list(checks)
    worst = sorted(classes, key=lambda one: (_GRAVEST[one.verdict], one.harm_only, one.share))
    kept = {one.name for one in worst[:most]}
    return [one for one in checks if not of_class(one) or one.name in kept]


def in_short(checks: Sequence[Check]) -> str:
    """One sentence on all classes that are no harm; "" where none was judged."""
    classes = [one for one in checks if of_class(one)]
    if not classes:
        return ""
    shown = sum(one.verdict == PASS for one in classes)
    words = f"classes: at least {percent(classes[0].wanted)} is shown in {shown} of {len(classes)}"
    rare = [one.name.removeprefix(PREFIX) for one in classes if one.harm_only]
    if not rare:
        return words
    more = f" and {len(rare) - _NAMED} more" if len(rare) > _NAMED else ""
    return f"{words}, too few rows to show it of {', '.join(rare[:_NAMED])}{more}"
