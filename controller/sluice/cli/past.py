"""What was live when: the entries of a rollout's history, numbered, and the answer for a moment.

Pure. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sluice.api.status import HistoryEntry, RolloutStatus
from sluice.api.times import from_wire, to_wire
from sluice.errors import NotFoundError, UsageError


@dataclass(frozen=True)
class Numbered:
    """One ended rollout with its number: the first ever has 1."""

    number: int
    entry: HistoryEntry


@dataclass(frozen=True)
class Live:
    """What had the traffic at a moment. `since` None: since before the history begins.

    `beside` is the rollout that was in progress then, and had a share or (in its bake) all of it.
    """

    revision: str | None
    images: tuple[str, ...]
    since: float | None
    why: str
    beside: str = ""


def numbered(status: RolloutStatus) -> list[Numbered]:
    """The history oldest first, numbers ascending.

    The controller counts (`number`); entries of an older controller are counted from the oldest
    that is kept, or back from the first with a number.
    """
    entries = list(reversed(status.history))
    known = next(((i, e.number) for i, e in enumerate(entries) if e.number is not None), None)
    offset = 1 if known is None or known[1] is None else known[1] - known[0]
    return [Numbered(offset + i, entry) for i, entry in enumerate(entries)]


def find(status: RolloutStatus, wanted: str, key: str) -> Numbered:
    """The entry with that number, or the newest of that revision. Raises NotFoundError."""
    entries = numbered(status)
    for one in reversed(entries):
        if wanted in (str(one.number), one.entry.revision):
            return one
    there = ", ".join(f"{one.number} ({one.entry.revision})" for one in entries) or "none"
    raise NotFoundError(f"{key} has no entry {wanted} in its history; there are: {there}")


def moment(text: str) -> float:
    """Unix seconds of ``2026-11-20T12:00Z`` (UTC where no zone is given). Raises UsageError."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--at {text}: expected a time such as 2026-11-20T12:00Z or 2026-11-20T12:00+01:00"
        ) from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def live_at(obj: dict[str, Any], at: float, now: float) -> Live:
    """Which revision had all the traffic at that moment, since when, and why.

    Raises UsageError for a moment in the future.
    """
    if at > now:
        raise UsageError(f"--at {to_wire(at)} has not come yet")
    status = RolloutStatus.model_validate(obj.get("status") or {})
    entries = numbered(status)
    promoted = [one for one in entries if one.entry.outcome == "Promoted"]
    before = [one for one in promoted if (from_wire(one.entry.ended_at) or now) <= at]
    beside = _beside(status, entries, at)
    if before:
        last = before[-1]
        entry = last.entry
        why = f"{entry.outcome} (#{last.number}): {entry.reason}: {entry.message}"
        return Live(entry.revision, tuple(entry.images), from_wire(entry.ended_at), why, beside)
    # Only now: a history restored from a backup is older than its object.
    created = from_wire(obj["metadata"].get("creationTimestamp"))
    if created is not None and at < created:
        return Live(None, (), None, "the ModelRollout was not there yet")
    if not promoted and status.stable is not None:
        since, how = _beginning(status, created)
        return Live(status.stable.revision, tuple(status.stable.images), since, how, beside)
    if found := _replaced_later(entries, at):
        revision = str(found.entry.replaced)
        why = f"#{found.number} ({found.entry.outcome}) was tried against it"
        since = None
        if entries[0].number == 1:
            since, how = _beginning(status, created)
            why = f"{how}; {why}"
        images = next((tuple(e.entry.images) for e in entries if e.entry.revision == revision), ())
        return Live(revision, images, since, why, beside)
    why = "the history does not reach back so far; spec.revisionHistoryLimit says how many are kept"
    return Live(None, (), None, why, beside)


def _beginning(status: RolloutStatus, created: float | None) -> tuple[float | None, str]:
    """Since when the very first version is live, and how it came."""
    return (None, "it was adopted") if status.adopted else (created, "it was the first")


def _replaced_later(entries: list[Numbered], at: float) -> Numbered | None:
    """The first rollout that ended after `at`: what it was tried against was live at that moment.

    None where another could have ended in between: the history begins with it, later than `at`.
    """
    for index, one in enumerate(entries):
        began, ended = from_wire(one.entry.started_at), from_wire(one.entry.ended_at)
        if ended is None or ended <= at:
            continue
        seamless = index > 0 or one.number == 1 or (began is not None and began <= at)
        return one if seamless and one.entry.replaced else None
    return None


def _beside(status: RolloutStatus, entries: list[Numbered], at: float) -> str:
    for one in entries:
        began, ended = from_wire(one.entry.started_at), from_wire(one.entry.ended_at)
        if began is not None and ended is not None and began <= at < ended:
            return (
                f"revision {one.entry.revision} was being rolled out (#{one.number}, from "
                f"{one.entry.started_at} to {one.entry.ended_at}: {one.entry.outcome}) and may "
                "have had a share of it"
            )
    began = from_wire(status.started_at)
    if status.candidate is not None and began is not None and began <= at:
        return (
            f"revision {status.candidate.revision} is being rolled out since {status.started_at} "
            "and may have had a share of it"
        )
    return ""
