"""Which shares a check of answers compares, and when it may not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sluice.api.policy import CanaryPolicySpec, Metric
from sluice.evidence.answer_bank import AnswerBank, AnswerIncrement
from sluice.evidence.answers import Cell, Counted, Incomparable, Shown, Streams, streams_of
from sluice.evidence.spec import AnswerPlan, answer_plans_of, plans_of

CLASSES = ("setosa", "versicolor", "virginica")
BINS = frozenset({"abcd"})


def plan(**fields: object) -> AnswerPlan:
    return AnswerPlan("p", fields.pop("metric", Metric.PREDICTIONS), **fields)  # type: ignore[arg-type]


def shown(*cells: Cell, bins: frozenset[str] = BINS) -> Shown:
    return Shown(frozenset(cells), bins, frozenset({"m"}))


def predicted(*labels: str, slice: str = "", part: str = "") -> list[Cell]:
    return [Cell(Counted.PREDICTION, label, False, slice, part) for label in labels]


def outcomes(*truths: str, slice: str = "", part: str = "") -> list[Cell]:
    return [Cell(Counted.OUTCOME, t, w, slice, part) for t in truths for w in (False, True)]


def streams(asked: AnswerPlan, side: Shown) -> Streams:
    found = streams_of(asked, side, side)
    assert isinstance(found, Streams)
    return found


def problem(asked: AnswerPlan, stable: Shown, candidate: Shown) -> Incomparable:
    found = streams_of(asked, stable, candidate)
    assert isinstance(found, Incomparable)
    return found


def test_of_few_classes_all_sets_are_compared_by_their_smaller_half() -> None:
    found = streams(plan(), shown(*predicted(*CLASSES)))
    assert set(found.sets) == set(CLASSES)
    four = streams(plan(), shown(*predicted("a", "b", "c", "d")))
    assert len(four.names) == 7
    assert max(each.count(" or ") for each in four.sets) == 1


def test_of_many_classes_each_is_compared_by_itself() -> None:
    many = tuple(f"k{i}" for i in range(12))
    assert set(streams(plan(), shown(*predicted(*many))).sets) == set(many)


def test_slices_add_every_class_of_every_bin_and_the_whole_stays_first() -> None:
    cells = predicted(*CLASSES)
    for part in ("eu", "us"):
        cells += predicted(*CLASSES, slice="region", part=part)
    found = streams(plan(slices=("region",)), shown(*cells))
    assert len(found.names) == 3 + 2 * 3
    assert found.places[0] == ""
    assert "region=eu: virginica" in found.names
    at = found.names.index("region=eu: virginica")
    counted = dict(zip(found.cells, range(1, len(found.cells) + 1), strict=True))
    values = np.array([float(counted[cell]) for cell in found.cells])
    eu = [cell for cell in cells if cell.part == "eu"]
    assert found.base[at] @ values == sum(counted[cell] for cell in eu)
    assert (
        found.events[at] @ values
        == counted[Cell(Counted.PREDICTION, "virginica", False, "region", "eu")]
    )


def test_feedback_is_the_share_of_wrong_ones_as_a_whole_and_by_true_class() -> None:
    side = shown(*outcomes("a", "b"))
    feedback = {"metric": Metric.FEEDBACK}
    assert streams(plan(**feedback), side).names == ("wrong",)
    by_class = streams(plan(**feedback, per_class=True), side)
    assert by_class.names == ("wrong", "true a: wrong", "true b: wrong")
    assert by_class.events.sum() == 2 + 1 + 1


def test_feedback_by_slice_is_the_share_of_wrong_ones_there() -> None:
    cells = outcomes("a", "b")
    for part in ("eu", "us"):
        cells += outcomes("", slice="region", part=part)
    found = streams(plan(metric=Metric.FEEDBACK, slices=("region",)), shown(*cells))
    assert found.names == ("wrong", "region=eu: wrong", "region=us: wrong")
    assert found.base.sum(axis=1).tolist() == [4, 2, 2]
    assert found.events.sum(axis=1).tolist() == [2, 1, 1]


def test_feedback_as_a_whole_is_compared_even_where_classes_differ() -> None:
    asked = plan(metric=Metric.FEEDBACK)
    found = streams_of(asked, shown(*outcomes("a")), shown(*outcomes("a", "new")))
    assert isinstance(found, Streams)
    by_class = plan(metric=Metric.FEEDBACK, per_class=True)
    said = problem(by_class, shown(*outcomes("a")), shown(*outcomes("a", "new")))
    assert said.reason == "AnswersNotComparable"
    assert "other true classes: only the candidate has new" in said.message


def test_what_cannot_be_compared_says_why() -> None:
    whole = shown(*predicted(*CLASSES))
    assert problem(plan(metric=Metric.FEEDBACK), whole, whole).reason == "NoOutcomes"
    assert problem(plan(), shown(), shown()).reason == "AnswersNotCounted"
    assert problem(plan(slices=("region",)), whole, whole).reason == "SliceNotCounted"
    cells = predicted(*CLASSES)
    for part in range(100):
        cells += predicted(*CLASSES, slice="city", part=f"c {part}")
    assert problem(plan(slices=("city",)), shown(*cells), shown(*cells)).reason == "TooManySlices"


def test_hashed_categories_are_compared_where_the_bins_are_the_same() -> None:
    cells = predicted(*CLASSES)
    for part in ("c00", "c01", "other"):
        cells += predicted(*CLASSES, slice="region", part=part)
    asked = plan(slices=("region",))
    assert len(streams(asked, shown(*cells)).names) == 12
    other = shown(*cells, bins=frozenset({"other"}))
    assert problem(asked, shown(*cells), other).reason == "AnswersNotComparable"


def test_risks_are_divided_over_all_checks_of_a_policy() -> None:
    spec = CanaryPolicySpec.model_validate(
        {
            "steps": [{"weight": 50}],
            "risk": {"falseRollback": 0.04, "falsePromotion": 0.03},
            "checks": [
                {"name": "e", "metric": "error-rate", "compare": {}},
                {"name": "p", "metric": "predictions", "difference": {}, "warmup": "1m"},
                {"name": "l", "metric": "latency", "compare": {}},
                {"name": "f", "metric": "feedback", "difference": {"perClass": True}},
            ],
        }
    )
    serving, answers = plans_of(spec), answer_plans_of(spec)
    assert [p.name for p in serving] == ["e", "l"]
    assert [(p.name, p.metric, p.per_class, p.warmup) for p in answers] == [
        ("p", Metric.PREDICTIONS, False, 60.0),
        ("f", Metric.FEEDBACK, True, 0.0),
    ]
    assert {p.alpha for p in serving} | {p.alpha for p in answers} == {0.01}
    assert {p.beta for p in answers} == {0.03}


def judged(
    runs: int, candidate: list[float], stable: list[float], seed: int, updates: int = 240
) -> tuple[int, int]:
    """How many of many rollouts are harm, and how many pass first, all in one bank."""
    bank, rng = AnswerBank(), np.random.default_rng(seed)
    cells = tuple(predicted(*CLASSES))
    side = shown(*cells)
    keys = [str(run) for run in range(runs)]
    for key in keys:
        bank.open(key, [plan(acceptable=0.02, unacceptable=0.1, alpha=0.05)])
        assert bank.lay_out(key, side, side)
        bank.remember(key, cells, rng.multinomial(300, stable, 60).astype(float))
    harm: set[str] = set()
    passed: set[str] = set()
    for _ in range(updates):
        c = rng.multinomial(30, candidate, runs).astype(float)
        s = rng.multinomial(120, stable, runs).astype(float)
        bank.update({key: AnswerIncrement(cells, c[i], s[i]) for i, key in enumerate(keys)})
        for key in keys:
            (found,) = bank.results(key)
            if key not in passed and found.harmed:
                harm.add(key)
            elif key not in harm and found.passed:
                passed.add(key)
    return len(harm), len(passed)


@pytest.mark.parametrize(
    ("candidate", "harm", "passed"),
    [
        ([0.34, 0.33, 0.33], (0, 0), (40, 40)),
        ([0.36, 0.33, 0.31], (0, 2), (38, 40)),
        ([0.44, 0.33, 0.23], (36, 40), (0, 4)),
        ([0.64, 0.33, 0.03], (40, 40), (0, 0)),
    ],
)
def test_verdicts_keep_their_risks_through_the_bank(
    candidate: list[float], harm: tuple[int, int], passed: tuple[int, int]
) -> None:
    harmed, fine = judged(40, candidate, [0.34, 0.33, 0.33], seed=5, updates=120)
    assert harm[0] <= harmed <= harm[1]
    assert passed[0] <= fine <= passed[1]


def test_rows_are_given_back() -> None:
    bank, side = AnswerBank(), shown(*predicted(*CLASSES))
    for _ in range(3):
        bank.open("r", [plan()])
        bank.lay_out("r", side, side)
        assert bank.export("r")
        bank.close("r")
    assert "r" not in bank
    assert bank._fleets == {}


def test_rollouts_of_the_same_and_of_other_counters_move_on_as_if_each_were_alone() -> None:
    rng = np.random.default_rng(5)
    labels = [("a", "b"), ("a", "b"), ("x", "y"), ("a", "b", "c")]
    sides = [shown(*(Cell(Counted.PREDICTION, label) for label in each)) for each in labels]
    cells = [tuple(sorted(side.cells, key=lambda c: c.label)) for side in sides]
    keys = [str(i) for i in range(len(labels))]
    together, alone = AnswerBank(), [AnswerBank() for _ in keys]
    for key, side, own in zip(keys, sides, alone, strict=True):
        for bank in (together, own):
            bank.open(key, [plan(warmup=30.0)])
            bank.lay_out(key, side, side)
    for number in range(8):
        increments = {
            key: AnswerIncrement(
                each,
                rng.poisson(20.0, len(each)).astype(float),
                rng.poisson(60.0, len(each)).astype(float),
                # The second one's warm-up lasts for two increments more.
                age=15.0 * number - (30.0 if key == "1" else 0.0),
            )
            for key, each in zip(keys, cells, strict=True)
        }
        apart = {"2"} if number == 5 else set()
        together.update(increments, apart=apart)
        for key, own in zip(keys, alone, strict=True):
            own.update({key: increments[key]}, apart=apart)
    for key, own in zip(keys, alone, strict=True):
        assert together.results(key) == own.results(key)
    assert together.results("1")[0].skipped > together.results("0")[0].skipped
    assert together.results("2")[0].alone > 0


def test_marks_are_those_of_the_results() -> None:
    side = shown(*(Cell(Counted.PREDICTION, label) for label in "ab"))
    cells = tuple(side.cells)
    bank = AnswerBank()
    wide = plan(acceptable=0.3, unacceptable=0.6)
    for key in ("r", "unseen"):
        bank.open(key, [plan(alpha=0.05), replace(wide, name="other")])
    bank.lay_out("r", side, side)
    bank.remember("r", cells, np.full((60, 2), 50.0))
    said = set()
    for _ in range(30):
        bank.update({"r": AnswerIncrement(cells, np.array([90.0, 10.0]), np.array([50.0, 50.0]))})
        marks = bank.marks(["unseen", "r"]).tolist()
        assert marks[0] == [[False] * 3] * 2
        assert marks[1] == [[e.harmed, e.passed, e.n_c > 0] for e in bank.results("r")]
        said.add(str(marks[1]))
    assert len(said) > 1
