"""Checks of answers through the pulse: what is asked, what is said, and what outlasts a restart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kit_counts import CLASSES, Kit, kits

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import Checkpoint, CheckStatus, Verdict
from sluice.loops.answers import AnswerJudging
from sluice.loops.judging import Comparison, Judging
from sluice.metrics.answers import AnswerObserver
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import SeldonDialect
from sluice.metrics.observe import Observer, Pair
from sluice.metrics.queries import AS_USUAL
from sluice.testing.prometheus import FakePrometheus

KEY = "prod/iris"
START = 1_700_000_000.0
ALIKE = (0.34, 0.33, 0.33)
SHUFFLED = (0.4, 0.59, 0.01)
PREDICTIONS = {"metric": "predictions", "difference": {"acceptable": 0.02, "unacceptable": 0.1}}
FEEDBACK = {"metric": "feedback", "difference": {"acceptable": 0.02, "unacceptable": 0.15}}
ERRORS = {"name": "errors", "metric": "error-rate", "compare": {"negligibleBelow": 0.05}}


def policy(*checks: dict[str, Any], **more: Any) -> CanaryPolicySpec:
    named = [{"name": check["metric"], **check} for check in checks]
    return CanaryPolicySpec.model_validate(
        {"steps": [{"weight": 50}], "checks": [ERRORS, *named], **more}
    )


class Place:
    """One rollout: `main` serves since long, `next` is ready at START."""

    def __init__(self, asked: CanaryPolicySpec, *, past: int = 120, **kit: Any) -> None:
        self.prometheus = FakePrometheus()
        self.rng = np.random.default_rng(7)
        self.now = START - 10 * past
        (self.main,) = kits(self.prometheus, ["main"], **kit)
        for _ in range(past):
            self.ten_seconds(self.main, 40, ALIKE)
            self.scrape()
        (self.next,) = kits(self.prometheus, ["next"], **kit)
        self.policy = asked
        self.begin()

    def begin(self, resume: Checkpoint | None = None, **how: Any) -> None:
        """A controller that knows nothing but the checkpoint."""
        client = PrometheusClient(self.prometheus.url, adapter=self.prometheus.adapter())
        self.judging = Judging(
            Observer(client, SeldonDialect(), interval=10),
            AnswerJudging(AnswerObserver(client, AS_USUAL, interval=10)),
        )
        self.comparison = Comparison(
            key=KEY,
            name="one",
            pair=Pair(KEY, "prod", "iris", "main", "next"),
            policy=self.policy,
            baking=how.pop("baking", False),
            ready=START,
            resume_from=resume,
            **how,
        )

    def ten_seconds(self, kit: Kit, n: int, shares: tuple[float, ...], wrong: float = 0.05) -> None:
        """Requests, their predictions, and truths for all of them."""
        self.prometheus.answered("prod", "iris", kit.predictor, n)
        counts = self.rng.multinomial(n, np.array(shares) / sum(shares))
        kit.predicted(dict(zip(kit.classes, counts.tolist(), strict=True)))
        for truth in kit.classes:
            each = int(self.rng.binomial(n // 3, wrong))
            kit.truths(truth, n // 3 - each, each)

    def scrape(self) -> None:
        self.now += 10
        self.prometheus.scrape(self.now)

    def pulse(self) -> tuple[set[str], int]:
        self.judging.follow([self.comparison], self.now)
        return self.judging.pulse(self.now)

    def run(
        self,
        minutes: float,
        shares: tuple[float, ...] = ALIKE,
        *,
        stable: tuple[float, ...] = ALIKE,
        wrong: float = 0.05,
        n: int = 40,
        until: Verdict | None = None,
    ) -> None:
        for _ in range(round(minutes * 6)):
            self.ten_seconds(self.main, n, stable)
            self.ten_seconds(self.next, n, shares, wrong)
            self.scrape()
            self.pulse()
            if until is not None and self.last().verdict is until:
                return

    def checks(self) -> dict[str, CheckStatus]:
        return {c.name: c for c in self.judging.judgement(KEY, "one").checks}

    def last(self) -> CheckStatus:
        return self.judging.judgement(KEY, "one").checks[-1]


def test_answers_alike_pass_in_the_order_of_the_policy() -> None:
    place = Place(policy(PREDICTIONS, FEEDBACK))
    place.pulse()
    place.run(30)
    found = place.judging.judgement(KEY, "one").checks
    assert [(c.name, c.verdict) for c in found] == [
        ("errors", Verdict.PASS),
        ("predictions", Verdict.PASS),
        ("feedback", Verdict.PASS),
    ]
    assert found[1].reason == "NotDifferentFromStable"
    assert found[2].reason == "NotWorseThanStable"
    assert "less than 10 points apart" in found[1].message


def test_a_class_that_is_no_longer_predicted_is_harm_and_named_while_errors_pass() -> None:
    place = Place(policy(PREDICTIONS))
    place.pulse()
    place.run(10, SHUFFLED, until=Verdict.HARM)
    found = place.checks()
    assert found["predictions"].verdict is Verdict.HARM
    assert found["predictions"].reason == "DifferentFromStable"
    assert found["predictions"].about in ("virginica", "versicolor")
    assert "of the candidate's answers," in found["predictions"].message
    assert "shown to be further apart than the acceptable 2 points" in found["predictions"].message
    assert found["errors"].verdict is not Verdict.HARM


def test_harm_takes_three_increments_however_great_and_stays() -> None:
    place = Place(policy(PREDICTIONS))
    place.pulse()
    place.run(1)
    verdicts = []
    for _ in range(4):
        place.run(1 / 6, (0.0, 0.0, 1.0), n=4000)
        verdicts.append(place.last().verdict is Verdict.HARM)
    assert verdicts == [False, False, True, True]
    place.run(1, ALIKE)
    assert place.last().verdict is Verdict.HARM


def test_a_sudden_change_that_comes_to_the_candidate_one_scrape_sooner_is_no_harm() -> None:
    place = Place(policy(PREDICTIONS))
    place.pulse()
    # Both are asked something else from now on; the stable was scraped just before.
    place.run(1 / 6, (0.05, 0.05, 0.9), n=400)
    for _ in range(24):
        place.run(1 / 6, (0.05, 0.05, 0.9), stable=(0.05, 0.05, 0.9), n=400)
        assert place.last().verdict is not Verdict.HARM


def test_more_wrong_answers_are_harm_and_fewer_are_not() -> None:
    worse = Place(policy(FEEDBACK))
    worse.pulse()
    worse.run(30, wrong=0.3, until=Verdict.HARM)
    assert (worse.last().verdict, worse.last().reason) == (Verdict.HARM, "WorseThanStable")
    assert "of the candidate's answers wrong" in worse.last().message
    better = Place(policy(FEEDBACK))
    better.pulse()
    better.run(10, wrong=0.0)
    assert better.last().verdict is Verdict.PASS


def test_one_true_class_that_gets_worse_is_not_averaged_away() -> None:
    by_class = {**FEEDBACK, "difference": {**FEEDBACK["difference"], "perClass": True}}
    place = Place(policy(by_class))
    place.pulse()
    for _ in range(180):
        place.ten_seconds(place.main, 60, ALIKE)
        place.prometheus.answered("prod", "iris", "next", 60)
        place.next.predicted({"setosa": 60})
        for truth in CLASSES:
            wrong = int(place.rng.binomial(20, 0.4 if truth == "virginica" else 0.02))
            place.next.truths(truth, 20 - wrong, wrong)
        place.scrape()
        place.pulse()
    assert place.last().verdict is Verdict.HARM
    assert place.last().about == "true virginica: wrong"
    assert (
        "true virginica: 4" in place.last().message or "true virginica: 3" in place.last().message
    )


def slices() -> dict[str, Any]:
    return {**PREDICTIONS, "difference": {**PREDICTIONS["difference"], "slices": ["region"]}}


def sliced(candidate_eu: tuple[float, ...]) -> Place:
    place = Place(policy(slices()), slices={"region": ("eu", "us", "missing")})
    place.pulse()
    for _ in range(120):
        for kit, eu in ((place.main, ALIKE), (place.next, candidate_eu)):
            place.prometheus.answered("prod", "iris", kit.predictor, 80)
            for part, n, shares in (("us", 64, ALIKE), ("eu", 16, eu)):
                counts = place.rng.multinomial(n, np.array(shares) / sum(shares))
                told = dict(zip(CLASSES, counts.tolist(), strict=True))
                kit.predicted(told)
                kit.predicted(told, "region", part)
        place.scrape()
        place.pulse()
    return place


def test_a_slice_that_differs_is_harm_though_the_whole_hardly_does() -> None:
    place = sliced((0.6, 0.38, 0.02))
    assert place.last().verdict is Verdict.HARM
    assert place.last().about is not None
    assert place.last().about.startswith("region=eu")
    assert "region=eu, " in place.last().message


def test_wrong_answers_in_one_slice_are_harm_there() -> None:
    by_slice = {**FEEDBACK["difference"], "slices": ["region"]}
    place = Place(
        policy({**FEEDBACK, "difference": by_slice}), slices={"region": ("eu", "us", "missing")}
    )
    place.pulse()
    for _ in range(120):
        for kit, eu in ((place.main, 0.05), (place.next, 0.5)):
            place.prometheus.answered("prod", "iris", kit.predictor, 80)
            for part, n, wrong in (("us", 72, 0.05), ("eu", 8, eu)):
                bad = int(place.rng.binomial(n, wrong))
                kit.truths("setosa", n - bad, bad)
                kit.truths("", n - bad, bad, "region", part)
        place.scrape()
        place.pulse()
    assert place.last().verdict is Verdict.HARM
    assert place.last().about == "region=eu: wrong"


def test_slices_alike_pass_and_empty_ones_are_not_waited_for() -> None:
    place = sliced(ALIKE)
    assert place.last().verdict is Verdict.PASS
    assert "1 parts with less than 1% of the answers were not waited for" in place.last().message


# --- what cannot be compared


def test_a_candidate_without_the_kit_is_an_error_that_says_what_to_do() -> None:
    place = Place(policy(PREDICTIONS))
    place.prometheus.remove_pod("iris-next-0")
    for _ in range(8):
        place.ten_seconds(place.main, 40, ALIKE)
        place.prometheus.answered("prod", "iris", "next", 40)
        place.scrape()
        place.pulse()
        if place.now == START + 10:
            first = place.last()
    assert (first.verdict, first.reason) == (Verdict.NO_DATA, "NoRequests")
    assert (place.last().verdict, place.last().reason) == (Verdict.ERROR, "AnswersNotCounted")
    assert "the candidate next" in place.last().message
    assert "model kit" in place.last().message
    assert "stable main" not in place.last().message


def other(**kit: Any) -> Place:
    """The candidate has another profile."""
    asked = kit.pop("asked", policy(PREDICTIONS))
    place = Place(asked, **kit.pop("stable", {}))
    place.prometheus.remove_pod("iris-next-0")
    place.next = Kit(place.prometheus, "next", **kit).start()
    place.pulse()
    place.run(5, tuple(1 / len(place.next.classes) for _ in place.next.classes))
    return place


def test_other_classes_are_an_error_that_names_them_and_never_pass_or_harm() -> None:
    found = other(classes=("setosa", "versicolor", "hybrid"), bins="other").last()
    assert (found.verdict, found.reason) == (Verdict.ERROR, "AnswersNotComparable")
    assert "only the stable has virginica; only the candidate has hybrid" in found.message


def test_the_same_classes_are_matched_by_name_where_other_bins_differ() -> None:
    assert other(bins="retrained").last().verdict is Verdict.PASS


def test_a_slice_that_one_profile_lacks_is_an_error() -> None:
    found = other(
        asked=policy(slices()), stable={"slices": {"region": ("eu", "us")}}, bins="other"
    ).last()
    assert (found.verdict, found.reason) == (Verdict.ERROR, "SliceNotCounted")
    assert "the candidate has no slice 'region'" in found.message


def test_hashed_categories_of_other_profiles_are_not_taken_for_the_same() -> None:
    ranges = {"region": ("c00", "c01", "other")}
    found = other(
        asked=policy(slices()), stable={"slices": ranges}, slices=ranges, bins="other"
    ).last()
    assert (found.verdict, found.reason) == (Verdict.ERROR, "AnswersNotComparable")
    assert "hashed" in found.message


def test_two_models_in_one_predictor_are_not_mixed() -> None:
    place = Place(policy(PREDICTIONS))
    Kit(place.prometheus, "next", model="transformer").start()
    place.pulse()
    place.run(2)
    assert place.last().reason == "AnswersNotComparable"
    assert "classifier, transformer" in place.last().message


def test_no_truth_yet_is_undecided_and_says_so() -> None:
    place = Place(policy(FEEDBACK))
    place.pulse()
    for _ in range(6):
        for kit in (place.main, place.next):
            place.prometheus.answered("prod", "iris", kit.predictor, 40)
        place.main.truths("setosa", 5, 0)
        place.scrape()
        place.pulse()
    assert (place.last().verdict, place.last().reason) == (Verdict.UNDECIDED, "NoFeedback")
    assert "the candidate" in place.last().message


# --- what is asked


def test_without_such_a_check_no_query_more_is_sent() -> None:
    place = Place(policy())
    place.pulse()
    place.run(1)
    assert not [q for q in place.prometheus.queries if "sluice_model" in q]


def test_queries_do_not_grow_with_the_rollouts() -> None:
    place = Place(policy(PREDICTIONS, FEEDBACK))
    place.pulse()
    place.run(1)
    asked = len(place.prometheus.queries)
    _, told = place.pulse()
    assert len(place.prometheus.queries) - asked == told == 6, "requests 3, answers 3"
    others = [
        Comparison(
            **{
                **place.comparison.__dict__,
                "key": f"prod/iris{i}",
                "pair": Pair(f"prod/iris{i}", "prod", f"iris{i}", "main", "next"),
            }
        )
        for i in range(20)
    ]
    place.judging.follow([place.comparison, *others], place.now)
    place.judging.pulse(place.now)
    asked = len(place.prometheus.queries)
    place.judging.pulse(place.now)
    assert len(place.prometheus.queries) - asked == 6


# --- a pod, the metrics, the controller go and come


def test_a_restarted_pod_and_a_new_one_are_counted_right() -> None:
    place = Place(policy(PREDICTIONS))
    place.pulse()
    place.run(2)
    before = place.last().candidate_samples
    place.prometheus.restart_pod("iris-next-0")
    place.next.start()
    second = Kit(place.prometheus, "next", pod="iris-next-1").start()
    for _ in range(3):
        place.ten_seconds(place.main, 40, ALIKE)
        place.ten_seconds(place.next, 40, ALIKE)
        second.predicted({"setosa": 4, "versicolor": 3, "virginica": 3})
        place.scrape()
        place.pulse()
    assert place.last().candidate_samples == before + 3 * 50


def test_an_outage_of_the_metrics_holds_and_loses_nothing() -> None:
    place = Place(policy(PREDICTIONS))
    place.pulse()
    place.run(3)
    before = place.last()
    place.prometheus.down = True
    place.ten_seconds(place.next, 40, ALIKE)
    place.pulse()
    assert "cannot be reached" in place.judging.judgement(KEY, "one").problem
    place.prometheus.down = False
    place.run(1 / 6)
    assert place.last().candidate_samples == before.candidate_samples + 80


def test_a_models_port_that_is_scraped_no_longer_takes_a_pass_back() -> None:
    place = Place(policy(PREDICTIONS))
    place.pulse()
    place.run(20)
    assert place.last().verdict is Verdict.PASS
    # The executor is a target of its own, and goes on.
    place.prometheus.remove_pod("iris-next-0")
    place.prometheus.answered("prod", "iris", "next", 40, pod="iris-next-1")
    place.ten_seconds(place.main, 40, ALIKE)
    place.scrape()
    place.pulse()
    assert (place.last().verdict, place.last().reason) == (Verdict.NO_DATA, "MetricsStale")
    assert "the candidate next are no longer in Prometheus" in place.last().message


def test_a_query_that_only_answers_need_holds_only_their_checks() -> None:
    place = Place(policy(PREDICTIONS))
    place.pulse()
    place.run(3)
    place.prometheus.refuses = "sluice_model"
    place.run(1 / 6)
    found = place.checks()
    assert (found["predictions"].verdict, found["predictions"].reason) == (
        Verdict.ERROR,
        "MetricsProblem",
    )
    assert found["errors"].verdict in (Verdict.PASS, Verdict.UNDECIDED)


@pytest.mark.parametrize("shares", [ALIKE, SHUFFLED])
def test_a_restart_loses_and_repeats_nothing(shares: tuple[float, ...]) -> None:
    once, twice = Place(policy(PREDICTIONS)), Place(policy(PREDICTIONS))
    for place in (once, twice):
        place.pulse()
        place.run(2, shares)
    saved = twice.judging.checkpoint(KEY, "one")
    assert saved is not None
    assert saved.answers is not None
    assert len(saved.answers.states["predictions"]) < 4000
    kept = Checkpoint.model_validate(saved.to_dict())
    twice.begin(kept)
    for place in (once, twice):
        place.run(2, shares)
    assert twice.last() == once.last()
    assert twice.last().candidate_samples == 24 * 40


def test_a_checkpoint_before_anything_was_seen_again_is_kept() -> None:
    place = Place(policy(PREDICTIONS))
    place.pulse()
    place.run(2)
    saved = place.judging.checkpoint(KEY, "one")
    assert saved is not None
    place.begin(saved)
    place.prometheus.remove_pod("iris-next-0")
    place.ten_seconds(place.main, 40, ALIKE)
    place.scrape()
    place.pulse()
    again = place.judging.checkpoint(KEY, "one")
    if again is not None and again.answers is not None:
        assert again.answers.states.keys() == saved.answers.states.keys()  # type: ignore[union-attr]


# --- warm-up, blue-green


def test_a_checks_own_warm_up_does_not_count() -> None:
    place = Place(policy({**PREDICTIONS, "warmup": "60s"}))
    place.pulse()
    place.run(0.5, SHUFFLED)
    assert (place.last().verdict, place.last().reason) == (Verdict.NO_DATA, "WarmingUp")
    assert "1m" in place.last().message
    place.run(0.5, SHUFFLED)
    place.run(20, ALIKE)
    assert place.last().verdict is Verdict.PASS


@pytest.mark.parametrize("when", [{"baking": True}, {"stable_only": True}])
def test_where_only_one_version_has_users_nothing_is_compared(when: dict[str, bool]) -> None:
    place = Place(policy(PREDICTIONS))
    place.begin(**when)
    place.pulse()
    place.run(5, SHUFFLED)
    assert (place.last().verdict, place.last().reason) == (Verdict.UNDECIDED, "NothingBeside")
    if "baking" in when:
        assert place.last().candidate_samples > 0
    else:
        assert place.last().stable_left == 0


def test_what_was_shown_before_a_bake_without_holdback_stays() -> None:
    place = Place(policy(PREDICTIONS))
    place.pulse()
    place.run(20)
    assert place.last().verdict is Verdict.PASS
    place.comparison = Comparison(**{**place.comparison.__dict__, "baking": True})
    place.run(2, SHUFFLED)
    assert place.last().verdict is Verdict.PASS
