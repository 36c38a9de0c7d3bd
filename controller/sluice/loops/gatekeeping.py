"""The gates' window to the world: facts for a decision, and its questions to webhooks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sluice.api.rollout import Rollout
from sluice.api.status import RolloutStatus
from sluice.engine.facts import Answer, Elsewhere, Question
from sluice.loops.elsewhere import elsewhere_of
from sluice.loops.stores import OwnWrites
from sluice.loops.webhooks import Webhooks


@dataclass(frozen=True)
class Facts:
    """What `Inputs` has of them."""

    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)


class Gatekeeper:
    """`watched` are the namespaces that are seen; (): all are."""

    def __init__(
        self, rollouts: OwnWrites, webhooks: Webhooks | None, watched: Collection[str] = ()
    ) -> None:
        self._rollouts = rollouts
        self._webhooks = webhooks
        self._watched = watched

    def facts(self, rollout: Rollout) -> Facts:
        """What is known now."""
        return Facts(
            elsewhere_of(rollout, self._rollouts, self._watched),
            self._webhooks.answers(rollout.key) if self._webhooks else {},
        )

    def ask(self, key: str, questions: tuple[Question, ...]) -> None:
        """Ask webhooks what a decision wants to know; an empty tuple takes open questions back."""
        if self._webhooks:
            self._webhooks.ask(key, questions)

    def written_down(self, key: str, status: RolloutStatus) -> None:
        """The status was written: answers that are in it need not be kept."""
        if self._webhooks:
            gates = (gate for gate in status.gates if gate.question)
            self._webhooks.written_down(key, {str(g.question): g.attempt or 0 for g in gates})

    def forget(self, key: str) -> None:
        """The rollout is gone."""
        if self._webhooks:
            self._webhooks.forget(key)
