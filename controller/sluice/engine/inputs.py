"""What goes into a decision, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import Rollout
from sluice.api.status import Checkpoint, CheckStatus, RolloutStatus
from sluice.engine.facts import Answer, Elsewhere, Question
from sluice.engine.plan import Plan
from sluice.engine.preflight_facts import PreflightFacts, PreflightWish
from sluice.engine.world import World


@dataclass(frozen=True)
class Desired:
    """What the template asks for, rendered for Seldon.

    `predictor` is the dict to add (its name is `predictor_name`), `create` the whole
    SeldonDeployment with this predictor alone at 100%. `preview` is where the predictor's own
    Service answers.
    """

    revision: str
    predictor_name: str
    images: tuple[str, ...]
    predictor: Mapping[str, Any]
    create: Mapping[str, Any]
    replicas: int | None = None
    preview: str = ""


@dataclass(frozen=True)
class Inputs:
    """One look at everything. `now` is Unix seconds.

    `checks` are the judged checks of the comparison now running; empty when nothing was measured
    yet. `metrics_problem` is a sentence when the last metrics read failed, else "".
    `counted` are the newest increment's requests by predictor, for where the
    VirtualService cannot be read; `mirrored` are those of them that were copies for a shadow.
    `elsewhere` are the rollouts of `gates.promotedIn` by namespace/name, `answers` those of
    webhooks by question, `preflight` is what is known of the preflight. `settle`: so many seconds
    pass between a candidate's readiness and its first share, in which the gateways learn its pods'
    addresses. `kept` is the stable as its stored template makes it, read where the SeldonDeployment
    is gone and the template is another version.
    """

    rollout: Rollout
    policy: CanaryPolicySpec
    policy_name: str
    world: World
    desired: Desired
    now: float
    checks: tuple[CheckStatus, ...] = ()
    metrics_problem: str = ""
    counted: Mapping[str, float] = field(default_factory=dict)
    mirrored: float = 0.0
    checkpoint: Checkpoint | None = None
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    settle: float = 0.0
    preflight: PreflightFacts = field(default_factory=PreflightFacts)
    kept: Desired | None = None


@dataclass(frozen=True)
class Note:
    """A Kubernetes Event to record. `warning` selects the type."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Decision:
    """What to do: first the plan, then the status, then the notes.

    `plan` None means: leave the SeldonDeployment alone. `look_again` is in seconds; None: only
    when something changes. `transitions` are the phases passed through, for metrics and logs.
    `questions` are for webhooks; who is asking them already goes on doing so. `preflight` is the
    attempt to be made, or going on; None calls off what is under way.
    """

    status: RolloutStatus
    plan: Plan | None = None
    notes: tuple[Note, ...] = ()
    look_again: float | None = None
    transitions: tuple[str, ...] = field(default=())
    questions: tuple[Question, ...] = ()
    preflight: PreflightWish | None = None
