"""A small model of what Seldon does with a plan, for tests of the decision: no I/O, no threads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import COMMAND_ANNOTATION, Rollout, RolloutSpec
from sluice.api.status import CheckStatus, Phase, RolloutStatus, Verdict
from sluice.engine.commands import Command, Request
from sluice.engine.decide import decide
from sluice.engine.facts import Answer, Elsewhere, Question
from sluice.engine.inputs import Decision, Desired, Inputs
from sluice.engine.plan import Plan
from sluice.engine.world import DeploymentHealth, LivePredictor, World

POLICY = CanaryPolicySpec.model_validate(
    {
        "steps": [{"weight": 5, "hold": "10s"}, {"weight": 50, "hold": "10s"}],
        "bake": "30s",
        "warmup": "0s",
        "onUndecided": {"after": "1h", "action": "Pause"},
        "checks": [{"name": "errors", "metric": "error-rate", "compare": {}}],
    }
)


def verdict(kind: Verdict, *, samples: int = 100) -> CheckStatus:
    """A check's answer."""
    return CheckStatus(
        name="errors", verdict=kind, reason="Test", message="numbers", candidate_samples=samples
    )


@dataclass
class SmallCluster:
    """One rollout and its SeldonDeployment. `pass_time` and `step` drive it."""

    template: str = "aaaa"
    now: float = 1_700_000_000.0
    status: RolloutStatus = field(default_factory=RolloutStatus)
    predictors: dict[str, int] = field(default_factory=dict)
    routes: dict[str, int] | None = None
    unready: set[str] = field(default_factory=set)
    half_ready: set[str] = field(default_factory=set)
    checks: tuple[CheckStatus, ...] = ()
    metrics_problem: str = ""
    paused: bool = False
    source: dict[str, str] = field(default_factory=dict)
    deadline: int = 60
    annotations: dict[str, str] = field(default_factory=dict)
    policy: CanaryPolicySpec = POLICY
    can_force: bool = True
    blind: bool = False  # VirtualServices may not be read
    counted: dict[str, float] = field(default_factory=dict)  # requests by predictor
    decisions: list[Decision] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    commands: int = 0
    gates: dict[str, Any] = field(default_factory=dict)
    rollback_revisions: int = 0
    elsewhere: dict[str, Elsewhere] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    changed_by: str | None = None
    change_cause: str | None = None

    def world(self) -> World:
        """What a reader would read."""
        health = {n: (self._health(n),) for n in self.predictors}
        live = tuple(
            LivePredictor(n, w, n.removeprefix("v"), (f"repo/m:{n}",), {"name": n})
            for n, w in self.predictors.items()
        )
        return World(
            exists=bool(self.predictors),
            predictors=live,
            health=health,
            routes=dict(self.routes) if self.routes is not None and not self.blind else None,
            routes_problem="forbidden" if self.blind else "",
        )

    def _health(self, name: str) -> DeploymentHealth:
        ready = 0 if name in self.unready else 1 if name in self.half_ready else 2
        return DeploymentHealth(f"iris-{name}", name, 2, ready, 2 - ready, 2, True)

    def frozen(self) -> bool:
        """Seldon does not write the VirtualService."""
        return any(n in self.unready or n in self.half_ready for n in self.predictors)

    def settle(self) -> None:
        """Seldon's operator comes by."""
        if self.predictors and not self.frozen():
            self.routes = dict(self.predictors)

    def step(self) -> Decision:
        """One pass: decide, apply the plan, let Seldon follow, keep the status."""
        decision = decide(self.inputs())
        self.decisions.append(decision)
        if decision.plan is not None:
            self.apply(decision.plan)
        self.status = decision.status
        return decision

    def inputs(self) -> Inputs:
        """The inputs of a pass now."""
        name = f"v{self.template}"
        desired = Desired(self.template, name, (f"repo/m:{name}",), {"name": name}, {}, None)
        spec = RolloutSpec.model_validate(
            {
                "template": {"spec": {"predictors": [{"graph": {"name": "m"}}]}},
                "paused": self.paused,
                "source": self.source,
                "progressDeadlineSeconds": self.deadline,
                "gates": self.gates,
                "rollbackWindow": {"revisions": self.rollback_revisions},
            }
        )
        rollout = Rollout(
            name="iris",
            namespace="prod",
            uid="u",
            generation=1,
            resource_version="1",
            annotations=dict(self.annotations),
            deleting=False,
            spec=spec,
            raw_template={},
            status=self.status,
            changed_by=self.changed_by,
            change_cause=self.change_cause,
        )
        judged = self.status.phase.judged
        return Inputs(
            rollout,
            self.policy,
            "test",
            self.world(),
            desired,
            self.now,
            checks=self.checks if judged else (),
            metrics_problem=self.metrics_problem if judged else "",
            counted=self.counted if judged else {},
            elsewhere=self.elsewhere,
            answers=self.answers,
        )

    def apply(self, plan: Plan) -> None:
        """What the writer and then Seldon make of a plan."""
        self.plans.append(plan)
        for planned in plan.predictors:
            if planned.name not in self.predictors and planned.template is None:
                raise AssertionError(f"{planned.name} is neither live nor given")
        self.predictors = {p.name: p.weight for p in plan.predictors}
        self.settle()
        if plan.force_routes and self.frozen() and self.can_force:
            self.routes = dict(self.predictors)

    def run(self, seconds: float, *, every: float = 1.0) -> None:
        """Let time pass with a pass every so often."""
        end = self.now + seconds
        while self.now < end:
            self.now += every
            self.settle()
            self.step()

    def command(self, command: Command, revision: str = "") -> None:
        """Someone runs the CLI."""
        self.commands += 1
        request = Request(f"c{self.commands}", command, revision)
        self.annotations[COMMAND_ANNOTATION] = request.to_annotation()

    def asked(self) -> dict[str, Question]:
        """What the last pass wants webhooks to be asked, by their names."""
        return {q.webhook.name: q for q in self.decisions[-1].questions}

    def reply(
        self, name: str, allowed: bool, message: str = "ok", *, answered: bool = True
    ) -> None:
        """The webhook answers the question of the last pass."""
        q = self.asked()[name]
        self.answers[q.id] = Answer(q.id, q.attempt, allowed, message, self.now, answered)

    def gate(self, name: str) -> tuple[str, str]:
        """State and message of a gate as the status shows it."""
        found = next(g for g in self.status.gates if g.name == name)
        return found.state.value, found.message

    def told(self, reason: str) -> list[str]:
        """The messages of all Events with this reason."""
        return [n.message for d in self.decisions for n in d.notes if n.reason == reason]

    def say(self, kind: Verdict, **more: Any) -> None:
        """The metrics say this from now on."""
        self.checks = (verdict(kind, **more),)

    def started(self) -> SmallCluster:
        """With revision aaaa serving."""
        for _ in range(3):
            self.now += 1
            self.settle()
            self.step()
        assert self.status.phase is Phase.IDLE
        assert self.routes == {"vaaaa": 100}
        return self

    def started_with(self) -> SmallCluster:
        """With whatever revision the template has serving."""
        self.run(3)
        assert self.predictors == {f"v{self.template}": 100}
        return self

    def promote_to(self, template: str) -> None:
        """Another version becomes the stable on its evidence."""
        self.template = template
        self.say(Verdict.PASS)
        self.run(120)
        assert self.predictors == {f"v{template}": 100}, self.status

    def rolling_out(self, template: str = "bbbb") -> SmallCluster:
        """With a candidate at the first step."""
        self.started()
        self.template = template
        self.unready.discard(f"v{template}")
        self.run(3)
        assert self.status.phase is Phase.STEPPING, self.status
        return self

    def clone(self) -> SmallCluster:
        """As a controller that was restarted sees it."""
        return replace(self)
