"""What came of a replay, as data (docs/replay.md has the schema) and as text for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sluice.api.base import format_duration
from sluice.api.status import CheckStatus
from sluice.api.times import to_wire
from sluice.replay.play import Happening, Look, Played
from sluice.replay.reading import Found
from sluice.replay.recording import Recording
from sluice.replay.traffic import Answered, Sides, Traffic

FORMAT, VERSION = "sluice-replay", 1
MOST_ENTRIES = 500
"""Of a timeline: each change is in it, and between changes as many looks as fit."""

ASSUMPTIONS = (
    "The traffic was what it was: a policy's weights cannot be replayed. Evidence is valid at "
    "whatever shares there were; how many requests a candidate would have had is not known.",
    "Steps are passed by the policy's holds and the evidence of that time; the gateway is taken to "
    "follow at once, and pods to be ready.",
    "Promoted means that every check said Pass in the last step; in the bake the recorded traffic "
    "goes on to be judged.",
    "The first step begins when the candidate's metrics first appear after the start.",
    "Where Prometheus itself scraped nothing, the controller would have had no answer: it holds.",
)


@dataclass(frozen=True)
class Replay:
    """All that was found out. `first` and `last`: moments between which both sides served.

    `answered`: what models answered, where a policy asks and the recording has it.
    """

    recording: Recording
    sides: Sides
    traffic: Traffic
    first: int
    last: int
    played: Sequence[Played]
    answered: Answered | None = None

    @property
    def outages(self) -> list[tuple[float, float]]:
        """When Prometheus was out, Unix seconds."""
        return self.recording.outages(self.first, self.last)


def data(replay: Replay) -> dict[str, Any]:
    """The JSON of a replay."""
    recording, sides = replay.recording, replay.sides
    requests, failed = replay.traffic.until(replay.first, replay.last)
    total = float(requests.sum())
    return {
        "format": FORMAT,
        "version": VERSION,
        "recording": {
            "namespace": sides.namespace,
            "deployment": sides.deployment,
            "dialect": recording.dialect_name,
            "start": to_wire(recording.time(replay.first)),
            "end": to_wire(recording.time(replay.last)),
            "stepSeconds": recording.step,
            "stable": _side(sides.stable, requests[1], failed[1]),
            "candidate": _side(sides.candidate, requests[0], failed[0]),
            "share": round(float(requests[0]) / total, 4) if total else None,
            "outages": [{"from": to_wire(a), "to": to_wire(b)} for a, b in replay.outages],
        },
        "results": [_result(replay, played) for played in replay.played],
        "assumptions": list(ASSUMPTIONS),
    }


def _side(predictor: str, requests: float, failed: float) -> dict[str, Any]:
    return {"predictor": predictor, "requests": round(requests), "failed": round(failed)}


def _result(replay: Replay, played: Played) -> dict[str, Any]:
    recording = replay.recording
    began = recording.time(played.begin)
    seen = played.looks[-1].index
    until = played.decided if played.decided is not None else seen
    requests, failed = replay.traffic.until(played.begin, until)
    decided = None if math.isnan(played.seconds) else played.seconds
    return {
        "policy": played.name,
        "stable": replay.sides.stable,
        "candidate": replay.sides.candidate,
        "start": to_wire(began),
        "end": to_wire(recording.time(seen)),
        "outcome": played.outcome,
        "at": None if decided is None else to_wire(began + decided),
        "seconds": None if decided is None else round(decided, 3),
        "reason": played.reason,
        "message": played.message,
        "candidateRequests": round(float(requests[0])),
        "badRequests": round(float(failed[0])),
        "bake": None
        if played.baked is None
        else {"seconds": round(played.baked, 3), "complete": played.bake_complete},
        "checks": [check.to_dict() for check in played.checks],
        **({"notReplayed": list(played.left_out)} if played.left_out else {}),
        "events": [
            {
                "at": to_wire(began + happening.seconds),
                "seconds": round(happening.seconds, 3),
                "reason": happening.reason,
                "message": happening.message,
            }
            for happening in played.happenings
        ],
        "timeline": _timeline(replay, played),
    }


def _timeline(replay: Replay, played: Played) -> list[dict[str, Any]]:
    entries, before = [], played.begin
    began = replay.recording.time(played.begin)
    for look in thinned(played.looks):
        requests, _ = replay.traffic.until(before, look.index)
        total = float(requests.sum())
        entry = {
            "at": to_wire(began + look.seconds),
            "seconds": round(look.seconds, 3),
            "phase": look.phase.value,
            "step": look.step,
            "weightByPolicy": look.weight,
            "share": round(float(requests[0]) / total, 4) if total else None,
            "metricsProblem": look.problem,
            "checks": [_brief(check) for check in look.checks],
        }
        entries.append(entry)
        before = look.index
    return entries


def _brief(check: CheckStatus) -> dict[str, Any]:
    return {k: v for k, v in check.to_dict().items() if k not in ("message", "reason")}


def thinned(looks: Sequence[Look]) -> list[Look]:
    """All changes, and evenly as many of the looks between them as a timeline may have."""
    every = max(1, math.ceil(len(looks) / MOST_ENTRIES))
    if every == 1:
        return list(looks)
    kept, before = [], None
    for number, look in enumerate(looks):
        now = (look.phase, look.step, bool(look.problem), [c.verdict for c in look.checks])
        if now != before or number % every == 0 or number == len(looks) - 1:
            kept.append(look)
        before = now
    return kept


def rows(replay: Replay) -> list[list[str]]:
    """One line a policy, under HEADERS."""
    return [
        [
            each["policy"],
            each["outcome"],
            "-" if each["at"] is None else each["at"].split(".")[0] + "Z",
            "-" if each["seconds"] is None else "+" + in_short(each["seconds"]),
            f"{each['candidateRequests']:,}",
            f"{each['badRequests']:,}",
            each["reason"],
        ]
        for each in (_result(replay, played) for played in replay.played)
    ]


HEADERS = ["POLICY", "OUTCOME", "AT", "AFTER", "TO CANDIDATE", "FAILED", "REASON"]


def overview(replay: Replay) -> list[str]:
    """Sentences on what the recording has."""
    recording, sides = replay.recording, replay.sides
    start, end = recording.time(replay.first), recording.time(replay.last)
    requests, failed = replay.traffic.until(replay.first, replay.last)
    total = float(requests.sum())
    lines = [
        f"{sides.namespace}/{sides.deployment}: candidate {sides.candidate} against stable "
        f"{sides.stable}, {clock(start)} to {clock(end)}, a look every "
        f"{format_duration(recording.step)}"
    ]
    shares = [
        f"{name} {_share(failed[i], requests[i])} of {requests[i]:,.0f} requests failed"
        for name, i in ((sides.stable, 1), (sides.candidate, 0))
    ]
    if total:
        shares.append(f"the candidate had {requests[0] / total:.1%} of the traffic")
    lines.append("; ".join(shares))
    lines += [
        f"metrics out from {clock(a)} to {clock(b)} ({in_short(b - a)})" for a, b in replay.outages
    ]
    return lines


def story(replay: Replay, played: Played) -> list[str]:
    """What a policy did and when, and the numbers it ended by."""
    marks = [(h.seconds, f"{h.reason}: {_brief_message(h)}") for h in played.happenings]
    began = replay.recording.time(played.begin)
    last = played.looks[-1].seconds
    marks += [
        (a - began, f"MetricsUnavailable: for {in_short(b - a)}; it held")
        for a, b in replay.outages
        if 0 <= a - began <= last
    ]
    if played.outcome == "undecided":
        marks.append((last, f"{played.reason}: {played.message}"))
    elif played.outcome == "promoted" and not played.bake_complete:
        marks.append((last, "RecordingEnded: before the bake was over"))
    lines = [f"+{in_short(seconds)}\t{text}" for seconds, text in sorted(marks, key=lambda m: m[0])]
    when = "so far" if played.outcome == "undecided" else "then"
    lines += [f"{when}\t{c.name} {c.verdict}: {c.message}" for c in played.checks]
    if played.left_out:
        named = ", ".join(played.left_out)
        lines.append(f"not seen\t{named}: the recording has no counters of the model kit")
    return lines


def _brief_message(happening: Happening) -> str:
    """Without the numbers of the checks, which follow it."""
    if happening.reason == "Promoting":
        return happening.message.partition(":")[0]
    if happening.reason == "RollingBack" and ": HarmDetected: " in happening.message:
        return "HarmDetected"
    return happening.message


def clock(seconds: float) -> str:
    """A moment for people, to the second."""
    return to_wire(seconds).split(".")[0] + "Z"


def in_short(seconds: float) -> str:
    """A duration for people: whole seconds from a minute on."""
    return format_duration(round(seconds) if seconds >= 60 else round(seconds, 1))


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.2%}" if whole else "none"


def found_data(found: Sequence[Found]) -> dict[str, Any]:
    """The JSON of a list of predictors."""
    return {
        "format": FORMAT + "-predictors",
        "version": VERSION,
        "predictors": [
            {
                "namespace": each.target.namespace,
                "deployment": each.target.deployment,
                "predictor": each.target.predictor,
                "requests": round(each.requests),
                "first": to_wire(each.first),
                "last": to_wire(each.last),
            }
            for each in found
        ],
    }


FOUND_HEADERS = ["NAMESPACE", "DEPLOYMENT", "PREDICTOR", "REQUESTS", "FIRST", "LAST"]


def found_rows(found: Sequence[Found]) -> list[list[str]]:
    """One line a predictor, under FOUND_HEADERS."""
    return [
        [
            each.target.namespace,
            each.target.deployment,
            each.target.predictor,
            f"{each.requests:,.0f}",
            clock(each.first),
            clock(each.last),
        ]
        for each in found
    ]
