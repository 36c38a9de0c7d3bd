"""One check of a comparison, and the words and limits of a share of rows that agree. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sluice.compare.exact import interval, tries_at, tries_needed

PASS, HARM, UNDECIDED, NO_DATA = "Pass", "Harm", "Undecided", "NoData"


@dataclass(frozen=True)
class Check:
    """One verdict with its numbers; `low` and `high` are limits of the true `share`.

    `harm_only`: too few were counted to show what is wanted, so Pass does not wait for it.
    """

    name: str
    verdict: str
    share: float
    low: float
    high: float
    wanted: float
    counted: int
    message: str
    harm_only: bool = False


def together(checks: Iterable[Check]) -> str:
    """Harm if any check says so, Pass if all do that are waited for."""
    verdicts = [one.verdict for one in checks if one.verdict == HARM or not one.harm_only]
    for one in (HARM, NO_DATA, UNDECIDED):
        if one in verdicts:
            return one
    return PASS


def agreement(
    name: str, agreeing: int, rows: int, wanted: float, *, risk: float, harm_risk: float, said: str
) -> Check:
    """Whether at least `wanted` of rows like these `rows` (at least 1) agree.

    `risk` is that of the lower limit, so of a wrong Pass, `harm_risk` that of the upper one. `said`
    tells the share in words.
    """
    low, high = interval(agreeing, rows, risk)[0], interval(agreeing, rows, harm_risk)[1]
    share = agreeing / rows
    words = f"{said} ({percent(low)} to {percent(high)})"
    if wanted >= 1.0:  # no sample shows that all agree: what is asked is that these did
        verdict = PASS if agreeing == rows else HARM
        words += ", all were to"
    elif low >= wanted:
        verdict, words = PASS, f"{words}: at least {percent(wanted)} is shown"
    elif high < wanted:
        verdict, words = HARM, f"{words}: less than {percent(wanted)} is shown"
    else:
        verdict = UNDECIDED
        words = f"{words}: {percent(wanted)} is neither shown nor ruled out"
        if rows < (least := tries_needed(wanted, risk)):
            words += f"; it takes at least {least} rows"
        elif share > wanted and (more := tries_at(share, wanted, risk)):
            words += f"; at this share it takes about {more:,} rows"
    return Check(name, verdict, share, low, high, wanted, rows, words)


def percent(share: float) -> str:
    """Two decimals at most. A share that is not whole does not look so."""
    text = f"{100 * share:.2f}"
    if text == "100.00" and share < 1:
        text = "99.99"
    return text.rstrip("0").rstrip(".") + "%"
