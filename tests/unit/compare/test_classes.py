"""Every class that the stable predicts is judged by itself, with one risk for all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from sluice.compare import result
from sluice.compare.answers import Answer
from sluice.compare.checks import Check
from sluice.compare.classes import LONGEST_CLASS, MOST_CLASSES, Classes, PerClass, gravest, in_short
from sluice.compare.exact import interval, tries_at, tries_needed
from sluice.compare.pairs import compare
from sluice.compare.totals import Tolerance, Totals

from .messages import DEAD, SETOSA, VERSICOLOR, answer, ndarray, tensor, tree

VIRGINICA = [0.1, 0.2, 0.7]
FLOWERS = {"setosa": SETOSA, "versicolor": VERSICOLOR, "virginica": VIRGINICA}
RISK = Tolerance().risk


def played(
    rows: Mapping[str, tuple[int, int]],
    per_class: PerClass | None = None,
    *,
    agreement: float = 0.99,
    wrong: Answer | None = None,
) -> Totals:
    """So many rows of each class, of which so many agree."""
    totals = Totals(Tolerance(agreement, per_class=per_class), examples=3)
    for name, (count, agreeing) in rows.items():
        other = wrong or ndarray(VERSICOLOR if name != "versicolor" else SETOSA)
        for number in range(count):
            stable = ndarray(FLOWERS[name])
            totals.add(number, "{}", stable, stable if number < agreeing else other)
    return totals


def by_name(totals: Totals) -> dict[str, Check]:
    return {one.name: one for one in totals.checks()}


RARE = {"setosa": (8000, 8000), "versicolor": (1950, 1950), "virginica": (50, 10)}


def test_a_class_that_is_ruined_is_harm_though_the_whole_passes() -> None:
    assert played(RARE).verdict() == "Pass", "99.6% agree"
    totals = played(RARE, PerClass(0.9))
    checks = by_name(totals)
    assert totals.verdict() == "Harm"
    assert checks["agreement"].verdict == "Pass"
    assert checks["class setosa"].verdict == checks["class versicolor"].verdict == "Pass"
    found = checks["class virginica"]
    assert (found.verdict, found.counted, found.share, found.wanted) == ("Harm", 50, 0.2, 0.9)
    assert found.message.startswith("10 of 50 rows agree (10.03% to ")
    assert found.message.endswith("less than 90% is shown")


def test_what_is_not_asked_for_is_judged_as_before() -> None:
    before = [one.name for one in played(RARE).checks()]
    assert before == ["schema", "agreement"]
    whole = by_name(played(RARE))["agreement"]
    assert (whole.low, whole.high) == interval(9960, 10_000, RISK)


@pytest.mark.parametrize(
    ("rare", "verdict"), [((35, 35), "Undecided"), ((36, 36), "Pass"), ((36, 35), "Undecided")]
)
def test_the_interval_of_a_class_decides(rare: tuple[int, int], verdict: str) -> None:
    found = by_name(played({"setosa": (1000, 1000), "virginica": rare}, PerClass(0.9)))
    assert found["class virginica"].verdict == verdict


def test_a_class_with_too_few_rows_to_show_it_is_not_waited_for_and_says_so() -> None:
    rows = {"setosa": (1000, 1000), "virginica": (12, 12)}
    totals = played(rows, PerClass(0.9))
    found = by_name(totals)["class virginica"]
    assert totals.verdict() == "Pass"
    assert (found.verdict, found.harm_only) == ("Undecided", True)
    assert "it takes at least 36 rows, so only harm counts here" in found.message

    waits = played(rows, PerClass(0.9, least_rows=10))
    found = by_name(waits)["class virginica"]
    assert waits.verdict() == "Undecided"
    assert (found.verdict, found.harm_only) == ("Undecided", False)
    assert found.message.endswith("it takes at least 36 rows")


@pytest.mark.parametrize(("rows", "verdict"), [(2, "Pass"), (3, "Harm")])
def test_harm_counts_in_a_class_that_is_not_waited_for(rows: int, verdict: str) -> None:
    totals = played({"setosa": (1000, 1000), "virginica": (rows, 0)}, PerClass(0.9))
    assert totals.verdict() == verdict


def test_a_class_that_is_undecided_says_how_many_rows_it_would_take() -> None:
    totals = played({"setosa": (3000, 3000), "virginica": (100, 95)}, PerClass(0.9))
    assert totals.verdict() == "Undecided"
    message = by_name(totals)["class virginica"].message
    assert "90% is neither shown nor ruled out; at this share it takes about 160 rows" in message
    assert interval(round(0.95 * 160), 160, RISK)[0] >= 0.9
    assert tries_at(0.9001, 0.9, RISK) is None, "too many to be told"


def test_all_rows_of_a_class_may_be_asked_to_agree() -> None:
    asked = PerClass(1.0)
    assert played({"setosa": (1000, 1000), "virginica": (1, 1)}, asked).verdict() == "Pass"
    assert played({"setosa": (1000, 1000), "virginica": (2, 1)}, asked).verdict() == "Harm"


@pytest.mark.parametrize("wrong", [DEAD, answer({"nothing": 1}), tensor(SETOSA, [1, 3])])
def test_rows_that_the_candidate_did_not_answer_alike_count_in_their_class(wrong: Answer) -> None:
    totals = played({"setosa": (4000, 4000), "virginica": (20, 2)}, PerClass(0.9), wrong=wrong)
    found = by_name(totals)["class virginica"]
    assert (found.verdict, found.counted, round(found.share * 20)) == ("Harm", 20, 2)


def test_what_the_stable_did_not_answer_is_of_no_class() -> None:
    totals = Totals(Tolerance(per_class=PerClass(0.9)))
    totals.add(1, "{}", DEAD, ndarray(SETOSA))
    assert by_name(totals)["classes"].verdict == totals.verdict() == "NoData"


def test_every_row_of_an_answer_counts_in_its_own_class() -> None:
    found = compare(ndarray(SETOSA, VIRGINICA, VIRGINICA), ndarray(SETOSA, VIRGINICA, SETOSA))
    assert found.classes == {"setosa": (1, 1), "virginica": (2, 1)}
    far = compare(ndarray(SETOSA), ndarray([0.6, 0.3, 0.1]), distance=0.1)
    assert far.classes == {"setosa": (1, 0)}, "what disagrees with the whole does so here"


@pytest.mark.parametrize(
    ("said", "classes"),
    [
        (answer({"strData": "setosa"}), {"setosa": (1, 1)}),
        (ndarray(["a", "b"], names=[]), {'["a", "b"]': (1, 1)}),
        (tree({"species": "setosa"}), {'["setosa"]': (1, 1)}),
        (answer({"data": {"ndarray": [2, 0, 2]}}), {"2": (2, 2), "0": (1, 1)}),
        (answer({"data": {"ndarray": [[1.0]]}}), {"1": (1, 1)}),
        (answer({"data": {"ndarray": [0.5, 1]}}), None),
        (answer({"data": {"ndarray": [None]}}), None),
        (tree({"score": 0.5, "other": 2}), None),
    ],
)
def test_a_class_is_the_label_or_a_whole_number(
    said: Answer, classes: dict[str, tuple[int, int]] | None
) -> None:
    assert compare(said, said).classes == classes


def test_numbers_are_no_classes_and_that_is_no_pass() -> None:
    totals = Totals(Tolerance(per_class=PerClass(0.9)))
    for number in range(400):
        said = answer({"data": {"ndarray": [number / 3]}})
        totals.add(number, "{}", said, said)
    found = by_name(totals)["classes"]
    assert totals.verdict() == "Undecided"
    assert (
        found.message == "there are no classes to judge, the stable predicts numbers: ask without"
    )
    assert by_name(totals)["agreement"].high == 1.0


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([f"text {n}" for n in range(MOST_CLASSES + 1)], "more than 200 different ones"),
        (["x" * (LONGEST_CLASS + 1)], "texts of more than 100 characters"),
    ],
)
def test_free_text_is_no_class_and_takes_no_memory(texts: list[str], says: str) -> None:
    classes = Classes()
    for text in texts:
        classes.add({text: (1, 1)})
    [found] = classes.checks(PerClass(0.9), RISK)
    assert (found.name, found.verdict) == ("classes", "Undecided")
    assert says in found.message
    assert len(classes.counts) <= MOST_CLASSES


def test_as_many_classes_as_are_allowed_are_judged() -> None:
    classes = Classes()
    for number in range(MOST_CLASSES):
        classes.add({f"class {number}": (40, 40)})
    found = classes.checks(PerClass(0.9), RISK)
    assert [one.verdict for one in found] == ["Pass"] * MOST_CLASSES


def test_the_most_frequent_comes_first_and_the_gravest_are_kept() -> None:
    classes = Classes()
    classes.add({"a": (50, 50), "b": (60, 6), "c": (70, 70), "d": (5, 5), "e": (45, 42)})
    found = classes.checks(PerClass(0.9), RISK)
    assert [one.name for one in found] == [f"class {name}" for name in "cbaed"]
    assert [one.name for one in gravest(found, 2)] == ["class b", "class e"]
    assert [one.name for one in gravest(found, 3)] == ["class b", "class e", "class d"]
    assert gravest(found, 5) == found
    said = in_short(found)
    assert said == "classes: at least 90% is shown in 2 of 5, too few rows to show it of d"


def test_one_risk_is_split_for_harm_and_whole_for_pass() -> None:
    """What is wrong with anything is at most the stated risk, and no check takes all of it."""
    totals = played({"setosa": (100, 80), "versicolor": (60, 60)}, PerClass(0.9), agreement=0.9)
    checks = by_name(totals)
    assert checks["agreement"].high == interval(140, 160, RISK / 2)[1]
    assert checks["class setosa"].high == interval(80, 100, RISK / 4)[1]
    assert checks["class setosa"].low == interval(80, 100, RISK)[0]


@pytest.mark.parametrize("rows", [(40, 40, 40), (300, 30, 3), (90, 9, 9)])
def test_a_wrong_harm_is_no_more_frequent_than_stated(rows: tuple[int, ...]) -> None:
    """Summed over all samples, with every class exactly at what is wanted."""
    wanted, alarms = 0.9, 0.0
    part = RISK / 2 / len(rows)
    for n in rows:
        least = [k for k in range(n + 1) if interval(k, n, part)[1] < wanted]
        alarms += sum(_chance(k, n, wanted) for k in least)
    assert 0 < alarms <= RISK / 2
    assert tries_needed(wanted, RISK) == 36


def _chance(hits: int, tries: int, p: float) -> float:
    return math.comb(tries, hits) * p**hits * (1 - p) ** (tries - hits)


def test_text_and_data_have_every_class() -> None:
    totals = played(RARE, PerClass(0.9))
    text = "\n".join(result.text(totals, {"stable": "a", "candidate": "b"}))
    assert "  class virginica   Harm       10 of 50 rows agree" in text
    checks = {one["name"]: one for one in result.data(totals, {})["checks"]}
    assert checks["class virginica"]["verdict"] == "Harm"
    assert checks["class virginica"]["harmOnly"] is False


def test_the_table_of_labels_counts_what_the_candidate_did_not_answer() -> None:
    totals = played({"setosa": (50, 50), "virginica": (20, 15)}, wrong=DEAD)
    text = "\n".join(result.text(totals, {"stable": "a", "candidate": "b"}))
    [line] = [line.split() for line in text.splitlines() if line.startswith("  virginica ")]
    assert line == ["virginica", "20", "75.0%", "no", "such", "answer", "5"]


def test_text_shows_the_gravest_of_many_and_says_what_it_leaves_out() -> None:
    totals = Totals(Tolerance(per_class=PerClass(0.9)))
    for number in range(30):
        said = answer({"strData": f"{number:02} {'x' * 40}"})
        for line in range(40):
            totals.add(line, "{}", said, DEAD if number == 7 else said)
    lines = result.text(totals, {"stable": "a", "candidate": "b"})
    shown = [line for line in lines if line.startswith("  class ")]
    assert len(shown) == 20
    assert any(line.startswith("  class 07 ") and "…  Harm" in line for line in shown), shown
    assert any("10 more classes, none of them graver" in line for line in lines)


def test_the_page_has_the_numbers_of_the_code() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "compare-answers.md").read_text()
    words = " ".join(page.split())
    assert f"({tries_needed(0.9, RISK)} for 90%, {tries_needed(0.95, RISK)} for 95%)" in words
    assert f"more than {LONGEST_CLASS} characters and more than {MOST_CLASSES} different" in words
    classes = Classes()
    classes.add({"setosa": (979, 979), "virginica": (30, 12), "versicolor": (9, 9)})
    for check in classes.checks(PerClass(0.9), RISK)[1:]:
        assert check.message in words

    def harm(rows: int, classes: int) -> bool:
        return interval(0, rows, RISK / 2 / classes)[1] < 0.9

    assert "three rows that all disagree are harm among up to 12 classes, five among up to 200" in (
        words
    )
    assert [harm(3, 12), harm(3, 13), harm(4, 200), harm(5, 200)] == [True, False, False, True]
