"""From what was typed to a recording, the two sides and the moments: or a clear refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sluice.api.base import parse_duration
from sluice.api.times import to_wire
from sluice.errors import UsageError
from sluice.metrics.dialects import dialect_named
from sluice.metrics.queries import MOST_NAMES, Labels, Target
from sluice.replay.reading import Found, RangeClient, Span, find, found_of, read
from sluice.replay.recording import LEAD, Recording
from sluice.replay.times import moment
from sluice.replay.traffic import Sides

DEFAULT_STEP = 15.0
DEFAULT_SPAN = 24 * 3600.0
AFTER_THE_END = 3
"""Looks after the candidate's last: a pair's counts wait two looks for each other."""


@dataclass(frozen=True)
class Question:
    """The options, as typed."""

    namespace: str | None = None
    deployment: str | None = None
    stable: str | None = None
    candidate: str | None = None
    start: str | None = None
    end: str | None = None
    step: str | None = None

    @property
    def paired(self) -> bool:
        """Two sides are named, so there is something to judge."""
        return self.stable is not None and self.candidate is not None

    @property
    def targets(self) -> tuple[Target, ...]:
        """Both sides, where everything about them is said; else ()."""
        if None in (self.namespace, self.deployment, self.stable, self.candidate):
            return ()
        place = self.namespace or "", self.deployment or ""
        return Target(*place, self.stable or ""), Target(*place, self.candidate or "")

    def wants(self, target: Target) -> bool:
        """The predictor is of the namespace and the deployment that were asked for."""
        return self.namespace in (None, target.namespace) and self.deployment in (
            None,
            target.deployment,
        )

    def check(self) -> None:
        """Raise UsageError when half a pair is named, or one predictor as both sides."""
        if (self.stable is None) != (self.candidate is None):
            raise UsageError(
                "give both --stable and --candidate, or neither to see which predictors there are"
            )
        if self.paired and self.stable == self.candidate:
            raise UsageError(f"--stable and --candidate are both {self.stable}: give two names")


@dataclass(frozen=True)
class Source:
    """What there is: predictors, and a recording if one was read."""

    found: Sequence[Found]
    recording: Recording | None
    first: int = LEAD
    last: int = 0
    warnings: tuple[str, ...] = ()
    """What Prometheus warned of while it was read."""

    def advice(self) -> str:
        """What to type next."""
        by_deployment: dict[tuple[str, str], list[Found]] = {}
        for each in self.found:
            key = (each.target.namespace, each.target.deployment)
            by_deployment.setdefault(key, []).append(each)
        for (namespace, deployment), sides in by_deployment.items():
            if len(sides) > 1:
                # The one that came last is most likely the new version.
                newest = max(sides, key=lambda f: f.first)
                other = max((f for f in sides if f is not newest), key=lambda f: f.requests)
                return (
                    f"To judge one against another, add for example: -n {namespace} --deployment "
                    f"{deployment} --stable {other.target.predictor} --candidate "
                    f"{newest.target.predictor}"
                )
        return "No deployment has two predictors in this time: choose another --start and --end."


@dataclass(frozen=True)
class Chosen:
    """What is to be played: moments `first` to `last`, the first step at `begin`."""

    recording: Recording
    sides: Sides
    first: int
    begin: int
    last: int


def from_file(recording: Recording, question: Question) -> Source:
    """The part of a recording that was asked for. Raises UsageError."""
    question.check()
    if question.step is not None and abs(_step(question.step) - recording.step) > 1e-3:
        raise UsageError(
            f"--step {question.step}: this recording has a look every {recording.step:g} s, and "
            "what was between them is not in it: leave --step out"
        )
    begins, ends = recording.time(LEAD), recording.time(recording.moments - 1)
    start = begins if question.start is None else moment(question.start, "--start", ends)
    end = ends if question.end is None else moment(question.end, "--end", ends)
    if end < begins or start > ends or end - start < recording.step:
        raise UsageError(
            f"--start and --end leave nothing of the recording: it has {to_wire(begins)} to "
            f"{to_wire(ends)}"
        )
    first = max(LEAD, recording.index(start))
    found = [f for f in found_of(recording) if question.wants(f.target)]
    if not found:
        raise UsageError(_nothing(question, "the recording has no predictor"))
    return Source(found, recording, first, recording.index(end))


def from_prometheus(
    client: RangeClient,
    dialect_name: str,
    labels: Labels,
    question: Question,
    *,
    now: float,
    keep: bool,
    answers: bool = False,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> Source:
    """Which predictors Prometheus has, and their recording if it is wanted.

    `keep`: read it even if no pair is named; `answers`: what models answer, too. Raises UsageError
    and MetricsError.
    """
    question.check()
    try:
        dialect = dialect_named(dialect_name, labels)
    except ValueError as error:
        raise UsageError(f"--dialect: {error}") from error
    step = DEFAULT_STEP if question.step is None else _step(question.step)
    end = now if question.end is None else min(now, moment(question.end, "--end", now))
    start = end - DEFAULT_SPAN
    if question.start is not None:
        start = moment(question.start, "--start", now)
    # On round moments, the same question has the same answer, and a cache in between can help.
    span = Span(round((start // step) * step, 3), round((end // step) * step, 3), step)
    span.check()
    found = find(client, dialect, span, question.namespace, question.deployment, question.targets)
    found = [f for f in found if question.wants(f.target)]
    if not found:
        raise UsageError(
            _nothing(question, "Prometheus has no request to any predictor")
            + f" from {to_wire(span.start)} to {to_wire(span.end)}: check --dialect, "
            "--namespace-label and the time"
        )
    if not question.paired and not keep:
        return Source(found, None)
    targets = [f.target for f in found]
    if question.paired:
        sides = _sides(found, question)
        targets = [
            t for t in targets
            if (t.namespace, t.deployment) == (sides.namespace, sides.deployment)
        ]  # fmt: skip
    if len({t.deployment for t in targets}) > MOST_NAMES:
        raise UsageError(
            f"--dump: {len(targets)} predictors were found, too many for one recording: choose "
            "with --namespace and --deployment"
        )
    heard: dict[str, None] = {}
    recording = read(
        client, dialect_name, labels, targets, span, tell,
        lambda text: heard.update({text: None}), answers=answers,
    )  # fmt: skip
    return Source(found, recording, LEAD, recording.moments - 1, tuple(heard))


def choose(source: Source, question: Question) -> Chosen:
    """The two sides in the recording, and when the first step begins. Raises UsageError."""
    recording = source.recording
    if recording is None:
        raise AssertionError("nothing was read")
    sides = _sides(source.found, question)
    candidate, stable = sides.targets
    seen = recording.first_seen(candidate, source.first)
    if seen is None or seen >= source.last:
        raise UsageError(
            f"the candidate {sides.candidate} has no metrics from "
            f"{to_wire(recording.time(source.first))} to {to_wire(recording.time(source.last))}"
        )
    if recording.first_seen(stable, source.first) is None:
        raise UsageError(
            f"the stable {sides.stable} has no metrics from "
            f"{to_wire(recording.time(source.first))} to {to_wire(recording.time(source.last))}"
        )
    # Where the candidate ends, the comparison ends; what is held back then is still released.
    ends = recording.last_seen(candidate, source.last)
    last = min(source.last, source.last if ends is None else ends + AFTER_THE_END)
    # One look earlier: what a new pod shows at first belongs to the rollout.
    begin = seen if seen == source.first else seen - 1
    return Chosen(recording, sides, source.first, begin, last)


def _sides(found: Sequence[Found], question: Question) -> Sides:
    known: dict[tuple[str, str], set[str]] = {}
    for each in found:
        target = each.target
        known.setdefault((target.namespace, target.deployment), set()).add(target.predictor)
    wanted = {str(question.stable), str(question.candidate)}
    matching = [key for key, names in known.items() if wanted <= names]
    if len(matching) > 1:
        places = ", ".join(f"{namespace}/{name}" for namespace, name in sorted(matching))
        raise UsageError(
            f"predictors {question.stable} and {question.candidate} are in several deployments "
            f"({places}): choose with --namespace and --deployment"
        )
    if not matching:
        there = "; ".join(
            f"{namespace}/{name}: {', '.join(sorted(names))}"
            for (namespace, name), names in sorted(known.items())
        )
        raise UsageError(
            f"no deployment has both {question.stable} (--stable) and {question.candidate} "
            f"(--candidate) in this time; there are {there}"
        )
    (namespace, deployment), = matching  # fmt: skip
    return Sides(namespace, deployment, str(question.stable), str(question.candidate))


def _nothing(question: Question, text: str) -> str:
    if question.deployment is not None:
        text += f" of deployment {question.deployment}"
    if question.namespace is not None:
        text += f" in namespace {question.namespace}"
    return text


def _step(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--step: {error}") from error
    if seconds < 0.1:
        raise UsageError(f"--step {text}: expected at least 100ms")
    return seconds
