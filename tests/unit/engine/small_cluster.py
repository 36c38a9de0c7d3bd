"""A small model of what Seldon does with a plan, for tests of the decision: no I/O, no threads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sluice.api.policy import CanaryPolicySpec
from sluice.api.preflight import PreflightState
from sluice.api.rollout import COMMAND_ANNOTATION, Rollout, RolloutSpec
from sluice.api.status import CheckStatus, Phase, RolloutStatus, Verdict
from sluice.engine.commands import Command, Request
from sluice.engine.decide import decide
from sluice.engine.facts import Answer, Elsewhere, Question
from sluice.engine.inputs import Decision, Desired, Inputs
from sluice.engine.plan import Plan
from sluice.engine.preflight_facts import PreflightAnswer, PreflightFacts, PreflightWish
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
    shadows: dict[str, int] = field(default_factory=dict)  # percent copied to a predictor
    made: dict[str, bool] = field(default_factory=dict)  # Deployments; True: made as a shadow's
    rolling: dict[str, int] = field(default_factory=dict)  # looks until the pods are all new
    growing: dict[str, int] = field(default_factory=dict)  # looks until added pods are ready
    replicas: int | None = None  # in the template
    sizes: dict[str, int] = field(default_factory=dict)  # replicas asked for; 2 if nothing is said
    pods: dict[str, int] = field(default_factory=dict)  # replicas Seldon has carried out
    component: dict[str, Any] = field(default_factory=dict)  # the template's componentSpec
    slow: bool = False  # Seldon's operator does not come by
    routes: dict[str, int] | None = None
    mirrors: dict[str, int] = field(default_factory=dict)
    unready: set[str] = field(default_factory=set)
    half_ready: set[str] = field(default_factory=set)
    checks: tuple[CheckStatus, ...] = ()
    metrics_problem: str = ""
    stable_left: int | None = 0
    strategy: dict[str, Any] = field(default_factory=lambda: {"canary": {}})
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
    settling: float = 0.0  # seconds
    preflight: dict[str, Any] | None = None
    compared: PreflightFacts = field(default_factory=PreflightFacts)
    keeps_templates: bool = True
    monitoring: dict[str, Any] | None = None

    def world(self) -> World:
        """What a reader would read."""
        health = {n: (self._health(n),) for n in self.predictors}
        live = tuple(
            LivePredictor(
                n,
                self.shadows.get(n, w),
                n.removeprefix("v"),
                (f"repo/m:{n}",),
                {"name": n},
                shadow=n in self.shadows,
                replicas=self.sizes.get(n),
            )
            for n, w in self.predictors.items()
        )
        return World(
            exists=bool(self.predictors),
            predictors=live,
            health=health,
            routes=dict(self.routes) if self.routes is not None and not self.blind else None,
            routes_problem="forbidden" if self.blind else "",
            mirrors={} if self.blind else dict(self.mirrors),
        )

    def _health(self, name: str) -> DeploymentHealth:
        if name not in self.made:
            return DeploymentHealth(f"iris-{name}", name, 2, 0, 0, 0, False)
        size = self.pods.get(name, 2)
        ready = 0 if name in self.unready else size - 1 if name in self.half_ready else size
        new = size - 1 if name in self.rolling or name in self.growing else size
        # At first the Deployment counts as whole, with pods of before: none is unavailable yet.
        just_grown = self.growing.get(name, 0) >= 3
        at_first = self.rolling.get(name) == 3 or just_grown
        lacking = max(size - ready, 0 if at_first else size - new)
        if just_grown:
            ready = min(ready, new)
        return DeploymentHealth(
            f"iris-{name}", name, size, ready, lacking, new, True, shadow=self.made[name]
        )

    def frozen(self) -> bool:
        """Seldon does not write the VirtualService."""
        return not all(self._health(n).whole for n in self.predictors)

    def settle(self) -> None:
        """Seldon's operator comes by: routes first, by the Deployments as they were (recorded)."""
        if self.slow or not self.predictors:
            return
        self.rolling = {n: left - 1 for n, left in self.rolling.items() if left > 1}
        self.growing = {n: left - 1 for n, left in self.growing.items() if left > 1}
        for name in self.predictors.keys() - self.made.keys():
            self.made[name] = name in self.shadows
            self.pods[name] = self.sizes.get(name, 2)
        if not self.frozen():
            self.routes = {n: w for n, w in self.predictors.items() if n not in self.shadows}
            self.mirrors = dict(self.shadows)
        self.made = {n: as_shadow for n, as_shadow in self.made.items() if n in self.predictors}
        for name, as_shadow in self.made.items():
            if as_shadow is not (name in self.shadows):
                self.made[name] = not as_shadow
                self.rolling[name] = 3
        for name in self.predictors:
            size = self.sizes.get(name, 2)
            if size > self.pods[name]:
                self.growing[name] = 4
            self.pods[name] = size

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
        desired = self.desired(self.template)
        spec = RolloutSpec.model_validate(
            {
                "template": {"spec": {"predictors": [{"graph": {"name": "m"}}]}},
                "paused": self.paused,
                "strategy": self.strategy,
                "source": self.source,
                "progressDeadlineSeconds": self.deadline,
                "gates": self.gates,
                "rollbackWindow": {"revisions": self.rollback_revisions},
                "preflight": self.preflight,
                "monitoring": self.monitoring,
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
        left = self.stable_left if self.status.phase is Phase.PREVIEWING else None
        checks = tuple(c.model_copy(update={"stable_left": left}) for c in self.checks)
        return Inputs(
            rollout,
            self.policy.overridden(spec.strategy.overrides),
            "test",
            self.world(),
            desired,
            self.now,
            checks=checks if judged else (),
            metrics_problem=self.metrics_problem if judged else "",
            counted=self.counted if judged else {},
            elsewhere=self.elsewhere,
            answers=self.answers,
            settle=self.settling,
            preflight=self.compared,
            kept=self._kept(),
        )

    def desired(self, revision: str) -> Desired:
        """What a revision's template asks for."""
        name = f"v{revision}"
        return Desired(
            revision,
            name,
            (f"repo/m:{name}",),
            {"name": name, "componentSpecs": [self.component]},
            {},
            self.replicas,
            preview=f"http://iris-{name}.prod.svc:8000",
        )

    def _kept(self) -> Desired | None:
        """The stable's, as it is read where the SeldonDeployment is gone."""
        stable = self.status.stable
        if self.predictors or stable is None or not self.keeps_templates:
            return None
        if all(entry.revision != stable.revision for entry in self.status.templates):
            return None
        return None if stable.revision == self.template else self.desired(stable.revision)

    def lose_the_deployment(self) -> None:
        """Somebody deletes the SeldonDeployment; its pods and routes go with it."""
        self.predictors, self.shadows, self.made = {}, {}, {}
        self.routes, self.mirrors = None, {}

    def apply(self, plan: Plan) -> None:
        """What the writer and then Seldon make of a plan."""
        self.plans.append(plan)
        planned = {p.name: p for p in plan.predictors}
        for name, wish in planned.items():
            if name not in self.predictors and wish.template is None:
                raise AssertionError(f"{name} is neither live nor given")
            if wish.weight and name in self.shadows:
                raise AssertionError(f"{name} is a shadow and would get users: the writer refuses")
        self.sizes |= {n: p.replicas for n, p in planned.items() if p.replicas is not None}
        self.sizes = {n: size for n, size in self.sizes.items() if n in planned}
        stay = [n for n in self.shadows if n not in planned and n not in plan.drop]
        self.predictors = {n: p.weight for n, p in planned.items()} | dict.fromkeys(stay, 0)
        self.shadows = {n: self.shadows[n] for n in stay} | {
            n: p.shadow for n, p in planned.items() if p.shadow is not None
        }
        if len(self.shadows) > 1:
            raise AssertionError(f"Seldon takes one shadow, found {self.shadows}")
        self.settle()
        if plan.force_routes and (self.frozen() or self.slow) and self.can_force:
            self.routes = {n: w for n, w in self.predictors.items() if n not in self.shadows}

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

    def wish(self) -> PreflightWish | None:
        """What the last pass wants both revisions to be asked."""
        return self.decisions[-1].preflight

    def compare(self, state: PreflightState, message: str = "numbers", **found: Any) -> None:
        """What was wanted in the last pass comes to this."""
        wish = self.wish()
        assert wish is not None, f"nobody asks: {self.status}"
        found |= {"state": state, "message": message}
        answer = PreflightAnswer(wish.question, wish.attempt, self.now, found)
        self.compared = PreflightFacts(answer)

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

    def begun(self, template: str = "bbbb") -> SmallCluster:
        """With a new template, one pass ago."""
        self.started()
        self.template = template
        self.now += 1
        self.step()
        return self

    def until(self, *phases: Phase, seconds: float = 200.0) -> SmallCluster:
        """Pass by pass, a second each, until a phase is reached."""
        end = self.now + seconds
        while self.status.phase not in phases:
            assert self.now < end, f"not within {seconds:g}s: {phases}; {self.status}"
            self.run(1)
        return self

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

    def started_afresh(self) -> RolloutStatus:
        """The status of a rollout whose status somebody deleted."""
        return RolloutStatus()

    def clone(self) -> SmallCluster:
        """As a controller that was restarted sees it."""
        return replace(self)
