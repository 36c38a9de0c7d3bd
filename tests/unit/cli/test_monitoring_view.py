"""What people see of a promoted model: in a terminal and in the report."""

from __future__ import annotations

import io

from rich.console import Console

from sluice.api.monitoring_status import (
    DecayRow,
    FeatureRow,
    MonitoringStatus,
    Retraining,
    RetrainingState,
)
from sluice.api.status import Condition, RolloutStatus
from sluice.cli.monitoring_view import monitoring_view, retraining_in_words
from sluice.report.monitoring import monitored

ROWS = [
    FeatureRow(name="height", distance="ks", value=0.02, threshold=0.1, evidence=-3, needed=2.3),
    FeatureRow(
        name="width",
        distance="ks",
        value=0.31,
        threshold=0.1,
        evidence=5.2,
        needed=2.3,
        requests=1234,
        drifted=True,
        since="2026-01-01T00:00:00.000Z",
    ),
]
RETRAINING = Retraining(
    number=3,
    id="abc",
    trigger="Drifted",
    state=RetrainingState.RUNNING,
    at="2026-01-01T00:10:00.000Z",
    revision="aaaa",
    features=["width"],
    job="iris-retrain-abc",
)
STATUS = RolloutStatus(
    monitoring=MonitoringStatus(
        predictor="vaaaa",
        revision="aaaa",
        features=ROWS,
        decay=DecayRow(
            reward=0.85, level=0.9, drop=0.05, tolerance=0.02, evidence=1.0, needed=2.0, feedback=99
        ),
        retrainings=[RETRAINING],
    ),
    conditions=[
        Condition(type="Drifted", status="True", reason="Drifted", message="width: ks 0.31"),
        Condition(type="Ready", status="True", reason="Serving"),
    ],
)


def drawn(status: RolloutStatus, width: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False, highlight=False)
    console.print(monitoring_view(status, lambda stamp: f"({stamp})"))
    return out.getvalue()


def test_the_furthest_variable_comes_first_with_its_numbers() -> None:
    shown = drawn(STATUS)
    assert "Drifted True Drifted" in shown
    assert "Serving" not in shown
    lines = shown.splitlines()
    [width] = [i for i, line in enumerate(lines) if line.startswith("width")]
    [height] = [i for i, line in enumerate(lines) if line.startswith("height")]
    assert width < height
    for part in ("ks 0.31", "0.1", "5.2 of 2.3", "1,234"):
        assert part in lines[width]
    assert "level 0.900; now 0.850, +0.050 below (tolerated 0.02)" in " ".join(shown.split())
    assert "retraining 3: Running for Drifted (width) by Job iris-retrain-abc" in shown


def test_conditions_alone_are_shown_before_there_are_numbers() -> None:
    unknown = Condition(type="Drifted", status="Unknown", reason="NoProfile", message="no pod")
    shown = drawn(RolloutStatus(conditions=[unknown]))
    assert "Drifted Unknown NoProfile" in shown
    assert "no pod" in shown


def test_no_line_is_wider_than_the_terminal() -> None:
    assert max(len(line) for line in drawn(STATUS, 60).splitlines()) <= 60


def test_the_report_has_a_plot_and_every_number() -> None:
    text = "".join(monitored(STATUS))
    assert text.count("<svg") == 1
    for part in ("<span class='bad'>width</span>", "5.2 of 2.3", "iris-retrain-abc", "0.9", "0.31"):
        assert part in text
    assert monitored(RolloutStatus()) == []


def test_a_retraining_by_hand_says_who_and_why_in_both() -> None:
    told = {
        "trigger": "Requested",
        "by": "mara@example.com",
        "why": "labels of May",
        "features": [],
    }
    one = RETRAINING.model_copy(update=told)
    assert retraining_in_words(one).endswith('; asked for by mara@example.com, "labels of May"')
    assert STATUS.monitoring is not None
    found = STATUS.monitoring.model_copy(update={"retrainings": [one]})
    page = "".join(monitored(STATUS.model_copy(update={"monitoring": found})))
    assert "Requested by mara@example.com: labels of May" in page
