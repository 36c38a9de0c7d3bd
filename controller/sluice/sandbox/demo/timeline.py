"""What happened when: one sample a second, for the report's plots and the summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from sluice.api.status import RolloutStatus
from sluice.sandbox.demo.requests import Shot
from sluice.sandbox.demo.scenarios import Scenario


@dataclass(frozen=True)
class Sample:
    """One look at a rollout's status; evidence as (towards pass, towards harm) by check, log10."""

    at: float
    phase: str
    desired: float
    observed: float
    verdicts: dict[str, str]
    toward_pass: dict[str, float]
    toward_harm: dict[str, float]
    metrics: str


@dataclass
class Run:
    """One scenario as it went. Times in Unix seconds."""

    scenario: Scenario
    started: float
    stable: str
    candidate: str = ""
    ended: float = 0.0
    outcome: str = ""
    reason: str = ""
    message: str = ""
    held: bool = False
    samples: list[Sample] = field(default_factory=list)
    needed: dict[str, tuple[float, float]] = field(default_factory=dict)
    marks: list[tuple[float, str]] = field(default_factory=list)

    def look(self, at: float, status: RolloutStatus) -> None:
        """Add a sample."""
        candidate = status.candidate
        if candidate is not None:
            self.candidate = candidate.predictor
        for check in status.checks:
            if check.needed is not None and check.harm_needed is not None:
                self.needed[check.name] = (check.needed, check.harm_needed)
        condition = status.condition("MetricsAvailable")
        self.samples.append(
            Sample(
                at=at,
                phase=status.phase.value,
                desired=status.traffic.desired.get(self.candidate, 0),
                observed=(status.traffic.observed or {}).get(self.candidate, 0),
                verdicts={c.name: c.verdict.value for c in status.checks},
                toward_pass={c.name: c.evidence or 0.0 for c in status.checks},
                toward_harm={c.name: c.harm_evidence or 0.0 for c in status.checks},
                metrics=condition.status if condition else "Unknown",
            )
        )

    @property
    def right(self) -> bool:
        """It ended as it should."""
        held = self.held or not self.scenario.outage
        return self.outcome == self.scenario.expected and held

    def summary(self, shots: list[Shot]) -> dict[str, Any]:
        """The entry of summary.json, from this run's requests."""
        ours = [s for s in shots if s.predictor == self.candidate]
        others = [s for s in shots if s.predictor != self.candidate]
        return {
            "name": self.scenario.name,
            "expected": self.scenario.expected,
            "outcome": self.outcome,
            "reason": self.reason,
            "message": self.message,
            "held": self.held,
            "seconds": round(self.ended - self.started, 1),
            "requests": len(shots),
            "candidateRequests": len(ours),
            "badRequests": sum(s.failed for s in ours),
            "collateralErrors": sum(s.failed for s in others),
        }

    def to_dict(self) -> dict[str, Any]:
        """For timeline.json."""
        return asdict(self)
