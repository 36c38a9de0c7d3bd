"""What gates are told of the world outside this rollout, and what they ask of it. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.api.gates import Webhook


@dataclass(frozen=True)
class Elsewhere:
    """Another ModelRollout, as `promotedIn` looks at it. `problem`: why it cannot be looked at.

    `serving` says that its stable is whole; `promoted_at` (Unix seconds) when its stable became
    that, None where it is not known.
    """

    problem: str = ""
    phase: str = ""
    images: tuple[str, ...] = ()
    serving: bool = False
    promoted_at: float | None = None


@dataclass(frozen=True)
class Answer:
    """What became of one attempt to ask a webhook. `answered` False: nothing usable came back."""

    question: str
    attempt: int
    allowed: bool
    message: str
    at: float
    answered: bool = True


@dataclass(frozen=True)
class Question:
    """A webhook to be asked. Asking the same question and attempt twice must not matter to it.

    `body` is the JSON to be sent, the same for every try of this attempt.
    """

    id: str
    attempt: int
    webhook: Webhook
    body: Mapping[str, Any]

    @property
    def idempotency_key(self) -> str:
        """The same for every try, also after a restart."""
        return f"{self.id}-{self.attempt}"
