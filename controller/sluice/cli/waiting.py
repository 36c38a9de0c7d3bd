"""Whether what is waited for has come, or never will: pure, one rollout object in, one answer out.

An answer is only given about the newest generation (or about the revision that is asked for): what
the status still says of the rollout before is not mistaken for an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sluice.api.status import Condition, HistoryEntry, Phase, RolloutStatus
from sluice.errors import SpecError, UsageError
from sluice.seldon.revision import revision_of

EXPECTED = "promoted, rolledback, idle, paused, ready or condition=TYPE[=STATUS]"
_CONDITION = "condition"


class Outcome(StrEnum):
    """How a wait ends; the values stand in its JSON output."""

    MET = "Met"
    ROLLED_BACK = "RolledBack"
    NEVER = "Never"
    TIMED_OUT = "TimedOut"


@dataclass(frozen=True)
class Wanted:
    """One `--for`. `kind` is promoted, rolledback, idle, paused, ready or condition."""

    kind: str
    type: str = ""
    status: str = "True"

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        return f"{self.kind}={self.type}={self.status}" if self.type else self.kind


@dataclass(frozen=True)
class Answer:
    """The end of a wait; `met` is the --for that came, or ""."""

    outcome: Outcome
    message: str
    met: str = ""


def parse_wanted(text: str) -> Wanted:
    """A `--for`. Raises UsageError with what is accepted."""
    kind, _, rest = text.partition("=")
    kind = kind.lower().replace("-", "")
    if kind == _CONDITION:
        name, _, status = rest.partition("=")
        if name:
            return Wanted(kind, name, status or "True")
    elif kind in _TESTS and not rest:
        return Wanted(kind)
    raise UsageError(f"--for {text}: expected {EXPECTED}")


def answer(obj: dict[str, Any], wanted: Sequence[Wanted], revision: str | None) -> Answer | None:
    """The answer for the rollout as it stands; None: go on waiting."""
    look = _Look(obj, RolloutStatus.model_validate(obj.get("status") or {}), revision)
    if revision is not None and (done := look.of_revision(wanted)):
        return done
    if not look.current or look.unknown():
        return None
    for one in wanted:
        test = _TESTS.get(one.kind)
        met = look.condition(one) if test is None else test(look)
        if met:
            return Answer(Outcome.MET, met, one.text)
    return look.end(wanted)


def template_revision(obj: dict[str, Any]) -> str:
    """The revision that the newest template has; "" where it has none."""
    try:
        return revision_of(obj["spec"]["template"]["spec"]["predictors"][0])
    except (KeyError, IndexError, TypeError, SpecError):
        return ""


def unknown(obj: dict[str, Any], revision: str | None) -> str:
    """That a revision is not there yet, as a sentence; "" when it is, or none is asked for."""
    look = _Look(obj, RolloutStatus.model_validate(obj.get("status") or {}), revision)
    if not look.unknown():
        return ""
    return (
        f"revision {revision} is not applied: it is neither the template's "
        f"({template_revision(obj) or '-'}), nor the candidate, the stable, or one of the history"
    )


def not_yet(obj: dict[str, Any], revision: str | None = None) -> str:
    """Why the time was up, as a sentence's second half."""
    if missing := unknown(obj, revision):
        return missing
    status = RolloutStatus.model_validate(obj.get("status") or {})
    generation, seen = obj["metadata"].get("generation"), status.observed_generation
    if seen != generation:
        return (
            f"the controller has not looked at generation {generation} (it has seen "
            f"{seen if seen is not None else 'none'}): is it running?"
        )
    if status.pause is not None:
        return f"it is paused in phase {status.phase}: {status.pause.message}"
    return f"it is in phase {status.phase}: {status.message or 'no message'}"


@dataclass(frozen=True)
class _Look:
    """One look at a rollout, for the revision asked for or for the newest generation."""

    obj: dict[str, Any]
    status: RolloutStatus
    revision: str | None

    @property
    def generation(self) -> int:
        return int(self.obj["metadata"].get("generation") or 0)

    @property
    def current(self) -> bool:
        """The status speaks of the newest generation."""
        return self.status.observed_generation == self.generation

    def promoted(self) -> str:
        condition = self.known("Promoted")
        if condition is None or condition.status != "True" or self.status.stable is None:
            return ""
        first = condition.reason == "Initial" and not self.ready()
        return "" if first else f"revision {self.status.stable.revision} is promoted"

    def rolled_back(self) -> str:
        rejected = self.status.rejected
        if self.status.phase is not Phase.ROLLED_BACK or rejected is None:
            return ""
        return f"revision {rejected.revision} was rolled back: {self._why()}"

    def idle(self) -> str:
        if self.status.phase is not Phase.IDLE or self.status.stable is None:
            return ""
        return f"nothing is in progress, revision {self.status.stable.revision} is stable"

    def paused(self) -> str:
        pause = self.status.pause
        return "" if pause is None else f"it is paused: {pause.message}"

    def ready(self) -> str:
        condition = self.known("Ready")
        if condition is None or condition.status != "True":
            return ""
        return condition.message or "it is ready"

    def condition(self, wanted: Wanted) -> str:
        condition = self.known(wanted.type)
        if condition is None or condition.status.lower() != wanted.status.lower():
            return ""
        said = ": ".join(filter(None, (condition.reason, condition.message)))
        return f"condition {condition.type} is {condition.status} ({said})"

    def known(self, kind: str) -> Condition | None:
        """The condition, if it speaks of the newest generation."""
        found = next((c for c in self.status.conditions if c.type.lower() == kind.lower()), None)
        if found is None or found.observed_generation not in (None, self.generation):
            return None
        return found

    def end(self, wanted: Sequence[Wanted]) -> Answer | None:
        """Nothing wanted is there: can it still come?"""
        if rolled_back := self.rolled_back():
            return Answer(Outcome.ROLLED_BACK, rolled_back)
        stalled = self.known("Stalled")
        if stalled is not None and stalled.status == "True":
            return Answer(
                Outcome.NEVER, f"it is stalled: {stalled.reason}: {stalled.message or 'no message'}"
            )
        over = self.promoted() and self.idle()
        if over and all(one.kind in ("rolledback", "paused") for one in wanted):
            words = " or ".join(one.text for one in wanted)
            return Answer(Outcome.NEVER, f"{over}: without a rollout, {words} never comes")
        return None

    def of_revision(self, wanted: Sequence[Wanted]) -> Answer | None:
        """What is known of one revision, also when another one is the newest by now."""
        status, revision = self.status, self.revision
        if status.candidate is not None and status.candidate.revision == revision:
            return None
        if template_revision(self.obj) == revision:
            return None  # it is, or is about to be, what the newest generation is about
        entry = next((e for e in status.history if e.revision == revision), None)
        kinds = {one.kind: one.text for one in wanted}
        is_stable = status.stable is not None and status.stable.revision == revision
        if is_stable or (entry is not None and entry.outcome == "Promoted"):
            what = f"revision {revision} is promoted"
            if not is_stable:
                what = f"revision {revision} was promoted, and replaced since"
            if "promoted" in kinds:
                return Answer(Outcome.MET, what, kinds["promoted"])
            return Answer(Outcome.NEVER, f"{what}: the newest template is another revision")
        return None if entry is None else _ended(entry, kinds)

    def unknown(self) -> bool:
        """The revision asked for is nowhere: a commit may be on its way."""
        status, revision = self.status, self.revision
        known = (status.candidate, status.stable, *status.history)
        return (
            revision is not None
            and template_revision(self.obj) != revision
            and revision not in {one.revision for one in known if one is not None}
        )

    def _why(self) -> str:
        reason = self.status.rollback_reason
        return f"{reason}: {self.status.message}" if reason else self.status.message


def _ended(entry: HistoryEntry, kinds: dict[str, str]) -> Answer:
    what = f"revision {entry.revision}: {entry.outcome}: {entry.reason}: {entry.message}"
    if entry.outcome == "Superseded":
        return Answer(Outcome.NEVER, what)
    if "rolledback" in kinds:
        return Answer(Outcome.MET, what, kinds["rolledback"])
    return Answer(Outcome.ROLLED_BACK, what)


_TESTS = {
    "promoted": _Look.promoted,
    "rolledback": _Look.rolled_back,
    "idle": _Look.idle,
    "paused": _Look.paused,
    "ready": _Look.ready,
}
