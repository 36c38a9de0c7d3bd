"""All pairs together: verdicts, the worst examples, the rendering."""

from __future__ import annotations

import json
import math

import pytest

from sluice.compare import result
from sluice.compare.answers import Answer
from sluice.compare.exact import interval
from sluice.compare.totals import Tolerance, Totals

from .messages import DEAD, SETOSA, VERSICOLOR, ndarray, tensor

SIDES = {"stable": "http://one", "candidate": "http://other"}


def played(
    same: int, other: int = 0, tolerance: Tolerance | None = None, candidate: Answer | None = None
) -> Totals:
    """So many pairs alike, then so many that differ."""
    totals = Totals(tolerance or Tolerance(), examples=3)
    differs = candidate or ndarray(VERSICOLOR)
    for number in range(same + other):
        totals.add(
            number, f"{number}", ndarray(SETOSA), ndarray(SETOSA) if number < same else differs
        )
    return totals


@pytest.mark.parametrize(
    ("same", "other", "verdict"),
    [
        (1000, 0, "Pass"),
        (100, 0, "Undecided"),
        (990, 10, "Undecided"),
        (960, 40, "Harm"),
        (9940, 60, "Pass"),
    ],
)
def test_the_interval_decides_and_not_the_share(same: int, other: int, verdict: str) -> None:
    assert played(same, other).verdict() == verdict


def test_too_few_rows_say_how_many_it_takes() -> None:
    message = played(100).checks()[1].message
    assert "it takes at least 368 rows" in message
    assert played(368).verdict() == "Pass"
    assert played(366).verdict() == "Undecided"


@pytest.mark.parametrize(("other", "verdict"), [(0, "Pass"), (1, "Harm")])
def test_all_that_were_sent_may_be_asked_to_agree(other: int, verdict: str) -> None:
    assert played(20, other, Tolerance(agreement=1.0)).verdict() == verdict


def test_one_answer_of_another_schema_is_harm_at_once() -> None:
    totals = played(9999, 1, candidate=tensor(SETOSA, [1, 3]))
    schema, agreement = totals.checks()
    assert (schema.verdict, agreement.verdict, totals.verdict()) == ("Harm", "Pass", "Harm")
    assert "1 of 10000 answers differ in kind (1)" in schema.message


def test_nothing_answered_is_no_verdict() -> None:
    totals = Totals(Tolerance())
    totals.add(1, "{}", DEAD, ndarray(SETOSA))
    assert totals.verdict() == "NoData"
    assert totals.only(stable_ok=False) == 1


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "Pass"), (3.0, "Harm")])
def test_latency_is_judged_where_that_is_asked(factor: float, verdict: str) -> None:
    totals = Totals(Tolerance(slower=1.5))
    for number in range(500):
        totals.add(
            number, "", ndarray(SETOSA, seconds=0.01), ndarray(SETOSA, seconds=0.01 * factor)
        )
    assert totals.checks()[2].verdict == verdict
    assert played(500).verdict() == "Pass", "else it is only shown"


def test_the_worst_are_kept_and_no_more_of_them() -> None:
    totals = Totals(Tolerance(distance=0.01), examples=3)
    totals.add(1, "near", ndarray(SETOSA), ndarray([0.78, 0.12, 0.1]))
    totals.add(2, "label", ndarray(SETOSA), ndarray(VERSICOLOR))
    totals.add(3, "same", ndarray(SETOSA), ndarray(SETOSA))
    totals.add(4, "schema", ndarray(SETOSA), tensor(SETOSA, [1, 3]))
    totals.add(5, "dead " + "x" * 10_000, ndarray(SETOSA), DEAD)
    totals.add(6, "near", ndarray(SETOSA), ndarray([0.78, 0.12, 0.1]))
    worst = totals.worst()
    assert [one.number for one in worst] == [4, 5, 2]
    assert max(len(one.request) for one in worst) <= 400
    assert worst[1].candidate == "timeout"


def test_text_names_what_became_of_each_label() -> None:
    text = "\n".join(result.text(played(960, 40), SIDES))
    assert text.startswith("Harm: 1000 requests, 1000 rows compared")
    assert "96% of 1000 rows agree" in text
    [line] = [
        line for line in text.splitlines() if line.strip().startswith("setosa ") and "%" in line
    ]
    assert line.split() == ["setosa", "1000", "96.0%", "versicolor", "40"]
    assert "setosa became versicolor" in text


def test_a_share_that_is_not_whole_does_not_look_so() -> None:
    assert "99.99% of 30001 rows" in played(30_000, 1).checks()[1].message


def test_data_are_json_even_where_a_number_is_missing_on_one_side() -> None:
    totals = played(3, 1, candidate=ndarray([None, 0.1, 0.1]))
    text = json.dumps(result.data(totals, SIDES), allow_nan=False)
    assert json.loads(text)["distance"]["greatest"] is None
    assert json.loads(text)["verdict"] == "Undecided"


@pytest.mark.parametrize(("hits", "tries"), [(0, 10), (3, 10), (10, 10), (990, 1000), (5, 100_000)])
def test_the_interval_is_exact(hits: int, tries: int) -> None:
    """Each limit is the share at which so extreme a sample has just the risk (summed directly)."""

    def chance(ks: range, p: float) -> float:
        return sum(
            math.exp(
                math.lgamma(tries + 1) - math.lgamma(k + 1) - math.lgamma(tries - k + 1)
                + k * math.log(p) + (tries - k) * math.log1p(-p)
            )
            for k in ks
        )  # fmt: skip

    low, high = interval(hits, tries, 0.025)
    if hits:
        assert 1 - chance(range(hits), low) == pytest.approx(0.025, rel=1e-5)
    else:
        assert low == 0
    if hits < tries:
        assert chance(range(hits + 1), high) == pytest.approx(0.025, rel=1e-5)
    else:
        assert high == 1
