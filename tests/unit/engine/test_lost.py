"""The SeldonDeployment was deleted: what was found good comes back, nothing else."""

from __future__ import annotations

import pytest

from sluice.api.status import Phase, Verdict
from sluice.errors import SpecError

from .small_cluster import SmallCluster


def test_in_mid_rollout_the_stable_comes_back_and_the_candidate_begins_anew() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.lose_the_deployment()
    cluster.unready.add("vaaaa")
    cluster.run(5)
    assert cluster.predictors == {"vaaaa": 100}, "no candidate beside a stable that does not serve"
    assert cluster.status.phase is Phase.IDLE
    assert cluster.status.message == "waiting for revision aaaa to serve again"
    cluster.unready.clear()
    cluster.run(4)
    assert cluster.predictors == {"vaaaa": 95, "vbbbb": 5}
    assert cluster.status.restoring is None
    cluster.say(Verdict.PASS)
    cluster.run(90)
    assert cluster.predictors == {"vbbbb": 100}


def test_after_a_rollback_the_rejected_version_stays_out() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.HARM)
    cluster.run(15)
    assert cluster.status.phase is Phase.ROLLED_BACK
    cluster.lose_the_deployment()
    cluster.run(15)
    assert cluster.predictors == {"vaaaa": 100}
    assert cluster.status.phase is Phase.ROLLED_BACK
    [told] = cluster.told("SeldonDeploymentGone")
    assert "with the stable revision aaaa from its kept template" in told


def test_a_rejected_version_is_not_made_where_the_stable_is_not_kept() -> None:
    cluster = SmallCluster(keeps_templates=False).rolling_out()
    cluster.say(Verdict.HARM)
    cluster.run(15)
    cluster.lose_the_deployment()
    with pytest.raises(SpecError, match="revision bbbb, which was rolled back") as stalled:
        cluster.step()
    assert stalled.value.reason == "StableNotKept"
    assert cluster.predictors == {}
    cluster.template = "cccc"
    cluster.run(5)
    assert cluster.predictors == {"vcccc": 100}


def test_a_stable_that_does_not_come_back_in_time_is_not_waited_for_for_ever() -> None:
    cluster = SmallCluster(deadline=60).rolling_out()
    cluster.lose_the_deployment()
    cluster.unready.add("vaaaa")
    cluster.run(58)
    assert cluster.predictors == {"vaaaa": 100}
    cluster.run(10)
    assert cluster.told("StableNotRestored") == ["revision aaaa did not come back within 1m"]
    assert cluster.predictors == {"vbbbb": 100}


def test_the_template_of_the_stable_itself_comes_back_as_ever() -> None:
    cluster = SmallCluster().started()
    cluster.lose_the_deployment()
    cluster.run(4)
    assert cluster.predictors == {"vaaaa": 100}
    assert cluster.status.restoring is None
