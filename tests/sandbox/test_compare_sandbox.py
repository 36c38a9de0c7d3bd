"""`sluice compare ROLLOUT`: the stable and the candidate of a rollout in progress."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from trial import Trial, measured, poll, sluice

from sluice.api.status import Phase

Start = Callable[[str], Trial]
LONG = {"steps": [{"weight": 20, "hold": "10m"}, {"weight": 50, "hold": "10m"}]}
FLOWERS = [[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]]


def test_a_wrong_candidate_is_found_out_before_metrics_could_say_so(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "requests.jsonl"
    lines = [json.dumps({"data": {"ndarray": [flower]}}) for flower in FLOWERS * 40]
    file.write_text("\n".join(lines) + "\n")
    rollout = start("compare")
    cluster, name = rollout.cluster, rollout.name
    rollout.create(rate=0)
    none = sluice(cluster, "compare", name, "--requests", str(file))
    assert none.returncode == 4, "there is no candidate"
    assert "no rollout in progress" in none.stderr

    rollout.change("shuffled", canary=LONG)
    status = rollout.until_phase(Phase.STEPPING)
    assert status.stable is not None
    assert status.candidate is not None
    done = sluice(cluster, "compare", name, "--requests", str(file), "-o", "json")
    assert done.returncode == 3, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["requests"] == 120
    assert {one["stable"] for one in found["codes"]} == {"200"}
    became = {(one["stable"], one["candidate"]): one["rows"] for one in found["labels"]}
    assert became["virginica", "versicolor"] == 40
    assert found["sides"]["stable"] != found["sides"]["candidate"]

    # The kit's distributions of the same answers are in Prometheus, each side's for itself.
    for predictor, said in ((status.stable.predictor, 40), (status.candidate.predictor, 0)):
        labels = f'deployment_name="{name}",predictor_name="{predictor}"'
        counted = f'sum(sluice_model_observations_total{{{labels},kind="prediction"}})'
        rollout_rows = f"sum(sluice_model_rows_total{{{labels}}})"
        virginica = counted.replace("kind=", 'range="virginica",kind=')
        # Both are asked for at one time: another scrape may come between two questions.
        both = f"({counted} == {rollout_rows}) >= 120"
        poll(lambda q=both: measured(cluster, q) >= 120, "the requests are scraped, each once")
        found_there = measured(cluster, virginica)
        assert found_there >= said if said else found_there == 0
    assert sluice(cluster, "abort", name).returncode == 0
