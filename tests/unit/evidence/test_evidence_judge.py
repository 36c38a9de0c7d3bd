"""Verdicts, reasons and sentences; and how a policy's risks are split."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import Verdict
from sluice.evidence import CheckEvidence, CheckPlan, Kind, judge, plans_of

BASE = CheckEvidence(
    plan=CheckPlan("errors", Kind.COMPARE_RATE),
    log10_harm=0.2,
    harm_needed=2.0,
    log10_pass=0.4,
    pass_needed=1.3,
    candidate=0.005,
    stable=0.0051,
    n_c=1000,
    n_s=4000,
    k_c=5,
    k_s=20,
    worst_edge=None,
    harmed=False,
    passed=False,
    requests_left=1234,
)
EMPTY = replace(BASE, n_c=0, k_c=0, candidate=None)


@pytest.mark.parametrize(
    ("evidence", "fresh", "problem", "verdict", "reason"),
    [
        (BASE, True, "", Verdict.UNDECIDED, "MoreRequestsNeeded"),
        (replace(BASE, requests_left=None), True, "", Verdict.UNDECIDED, "NotShownAtTheseRates"),
        (replace(BASE, n_s=0), True, "", Verdict.UNDECIDED, "NoStableRequests"),
        (replace(BASE, passable=False), True, "", Verdict.UNDECIDED, "BucketsTooCoarse"),
        (replace(BASE, passed=True), True, "", Verdict.PASS, "NotWorseThanStable"),
        (replace(BASE, passed=True), False, "", Verdict.NO_DATA, "MetricsStale"),
        (replace(BASE, passed=True), True, "refused", Verdict.ERROR, "MetricsProblem"),
        (EMPTY, True, "", Verdict.NO_DATA, "NoRequests"),
        (EMPTY, False, "", Verdict.NO_DATA, "NoRequests"),
        (replace(BASE, harmed=True, passed=True), True, "", Verdict.HARM, "WorseThanStable"),
        (replace(BASE, harmed=True), False, "down", Verdict.HARM, "WorseThanStable"),
    ],
)
def test_verdicts(
    evidence: CheckEvidence, fresh: bool, problem: str, verdict: Verdict, reason: str
) -> None:
    status = judge(evidence, fresh=fresh, problem=problem)
    assert (status.verdict, status.reason) == (verdict, reason)
    assert status.message


def test_the_sentence_has_the_numbers() -> None:
    message = judge(BASE, fresh=True).message
    assert message == (
        "0.5% failed (5 of 1,000), stable 0.51% (20 of 4,000): about 1,234 more candidate requests "
        "until Pass at these rates."
    )
    latency = replace(BASE, plan=CheckPlan("l", Kind.COMPARE_LATENCY), worst_edge=0.25)
    assert "0.5% slower than 250ms (5 of 1,000)" in judge(latency, fresh=True).message
    quantile = CheckPlan("p", Kind.LIMIT_QUANTILE, limit=0.5, quantile=0.99)
    slow = replace(BASE, plan=quantile, candidate=0.612, harmed=True)
    status = judge(slow, fresh=True)
    assert status.reason == "AboveLimit"
    assert status.message.startswith("p99 612ms against 500ms (1,000 requests)")


def test_the_risk_of_a_false_rollback_is_split_and_that_of_promotion_is_not() -> None:
    spec = CanaryPolicySpec.model_validate(
        {
            "steps": [{"weight": 20}],
            "risk": {"falseRollback": 0.03, "falsePromotion": 0.1},
            "checks": [
                {"name": "errors", "metric": "error-rate", "compare": {"unacceptableRatio": 3.0}},
                {"name": "share", "metric": "error-rate", "limit": {"max": 0.02}},
                {
                    "name": "p99",
                    "metric": "latency",
                    "limit": {"quantile": 0.99, "max": "500ms"},
                },
            ],
        }
    )
    plans = plans_of(spec)
    assert [p.kind for p in plans] == [Kind.COMPARE_RATE, Kind.LIMIT_RATE, Kind.LIMIT_QUANTILE]
    assert sum(p.alpha for p in plans) == pytest.approx(0.03)
    assert {p.beta for p in plans} == {0.1}
    assert (plans[0].unacceptable, plans[1].limit, plans[2].limit) == (3.0, 0.02, 0.5)
