"""The loop closed on real parts: drift, a real Job that retrains, canary, promotion, no drift."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from sluice.resources import EVENTS, MODEL_ROLLOUTS
from sluice.sandbox.demo import drift
from sluice.sandbox.demo.scenarios import NAME, NAMESPACE
from sluice.sandbox.guardian import tagged
from sluice.sandbox.layout import Layout
from sluice.sandbox.up import Sandbox

RATE = 40.0
PETALS = "petal length (cm)"


def test_what_drifts_is_retrained_by_a_job_and_promoted(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "sandbox")
    with Sandbox(layout, drift.options(layout)) as sandbox, sandbox.keeping_controllers():
        identity = sandbox.supervisor.identity
        said: list[str] = []
        closing = drift.Closing(sandbox, said.append, threading.Event().wait, RATE)
        story = closing.play()
        jobs = closing.jobs()
        obj = sandbox.client.get(MODEL_ROLLOUTS, NAME, NAMESPACE)
        reasons = {event["reason"] for event in sandbox.client.list(EVENTS, NAMESPACE).items}
        report = drift.write(tmp_path, story)

    assert story.right
    assert story.drifted is not None
    assert story.ended is not None
    before, after = story.drifted.monitoring, story.ended.monitoring
    assert before is not None
    assert after is not None
    rows = {row.name: row for row in before.features}
    assert rows[PETALS].drifted
    assert rows[PETALS].value >= rows[PETALS].threshold
    assert not rows["sepal width (cm)"].drifted

    [job] = jobs
    [entry] = after.retrainings
    assert (entry.state, entry.trigger, entry.job) == (
        "Succeeded",
        "Drifted",
        job["metadata"]["name"],
    )
    assert PETALS in entry.features
    assert {c["type"] for c in job["status"]["conditions"] if c["status"] == "True"} >= {"Complete"}
    assert job["status"]["succeeded"] == 1
    told = json.loads(job["metadata"]["annotations"]["sluice.dev/retraining-input"])
    assert PETALS in {one["name"] for one in told["features"]}

    assert before.profile != after.profile, "the new version has its own training"
    assert story.ended.history[0].outcome == "Promoted"
    assert story.ended.history[0].source == {"retraining": entry.id}
    image = obj["spec"]["template"]["spec"]["predictors"][0]["componentSpecs"][0]["spec"]
    assert image["containers"][0]["image"].endswith(f":{entry.id}")
    assert {"Drifted", "RetrainingDue", "RetrainingStarted", "RetrainingSucceeded"} <= reasons
    assert (tmp_path / "drift.json").exists()
    assert "<svg" in report.read_text()
    assert any("Drifted True" in line for line in said)
    assert tagged(identity) == set()
