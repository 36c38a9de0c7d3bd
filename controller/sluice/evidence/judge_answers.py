"""Evidence of a check of answers -> its verdict, reason and sentence, naming the worst share."""

from __future__ import annotations

from sluice.api.base import format_duration
from sluice.api.policy import Metric
from sluice.api.status import CheckStatus, Verdict
from sluice.evidence.answer_bank import AnswerEvidence
from sluice.evidence.answers import Incomparable
from sluice.evidence.difference import StreamEvidence, harmed_streams
from sluice.evidence.judge import percent, rounded

_SHOWN = 3


def judge_answers(
    evidence: AnswerEvidence,
    *,
    fresh: bool,
    beside: bool = True,
    missing: Incomparable | None = None,
    problem: str = "",
) -> CheckStatus:
    """The status of one check.

    `fresh` is False while the metrics do not move. `beside` is False where only one version has
    users, so that nothing can be compared. `missing` says why a side is not seen, `problem` (a
    sentence) why the metrics could not be read. Only harm that was shown before outlasts them.
    """
    verdict, reason, message = _answer(evidence, fresh, beside, missing, problem)
    at = _worst(evidence)
    worst = evidence.streams[at] if at is not None else None
    passing = min(
        (s.log10_pass for s, w in zip(evidence.streams, evidence.waited, strict=True) if w),
        default=None,
    )
    return CheckStatus(
        name=evidence.plan.name,
        verdict=verdict,
        reason=reason,
        message=message,
        about=worst.name if worst else None,
        candidate=rounded(worst.candidate) if worst else None,
        stable=rounded(worst.stable) if worst else None,
        evidence=_short(passing),
        needed=_short(worst.pass_needed) if worst else None,
        harm_evidence=_short(max(s.log10_harm for s in evidence.streams)) if worst else None,
        harm_needed=_short(worst.harm_needed) if worst else None,
        candidate_samples=evidence.n_c or evidence.alone,
        stable_samples=evidence.n_s,
        requests_left=None if evidence.passed else _left(evidence),
    )


def _answer(
    evidence: AnswerEvidence,
    fresh: bool,
    beside: bool,
    missing: Incomparable | None,
    problem: str,
) -> tuple[Verdict, str, str]:
    plan, feedback = evidence.plan, evidence.plan.metric is Metric.FEEDBACK
    if evidence.harmed:
        reason = "WorseThanStable" if feedback else "DifferentFromStable"
        more = "more" if feedback else "further apart"
        what = f"{more} than the acceptable {_points(plan.acceptable)}"
        risk = f"{percent(plan.alpha)} risk of a false alarm"
        told = f"{_numbers(evidence)}{_others(evidence)}: shown to be {what}, at {risk}."
        return Verdict.HARM, reason, told
    if problem:
        return Verdict.ERROR, "MetricsProblem", problem
    if missing is not None:
        passing = missing.reason in ("NoRequests", "MetricsStale")
        return Verdict.NO_DATA if passing else Verdict.ERROR, missing.reason, missing.message
    if evidence.problem is not None:
        return Verdict.ERROR, evidence.problem.reason, _sentence(evidence.problem.message)
    if not evidence.streams:
        return Verdict.NO_DATA, "NoRequests", "Both versions' answers have yet to be seen."
    if not fresh:
        return (
            Verdict.NO_DATA,
            "MetricsStale",
            "No new metrics. Nothing is decided until they return.",
        )
    if not evidence.n_c and evidence.skipped:
        return (
            Verdict.NO_DATA,
            "WarmingUp",
            f"Answers of the candidate's first {format_duration(plan.warmup)} do not count here "
            f"({evidence.skipped:,} so far).",
        )
    if not beside and not evidence.passed:
        return (
            Verdict.UNDECIDED,
            "NothingBeside",
            "Answers are compared only while both versions have traffic (a canary, a shadow).",
        )
    if evidence.passed:
        reason = "NotWorseThanStable" if feedback else "NotDifferentFromStable"
        bound = "less than " + _points(plan.unacceptable) + (" more" if feedback else " apart")
        text = f"{_numbers(evidence)}: shown to be {bound}{_unwaited(evidence)}."
        return Verdict.PASS, reason, text
    return _undecided(evidence)


def _undecided(evidence: AnswerEvidence) -> tuple[Verdict, str, str]:
    feedback = evidence.plan.metric is Metric.FEEDBACK
    for side, n, reason in (
        ("candidate", evidence.n_c, "NoRequests"),
        ("stable", evidence.n_s, "NoStableRequests"),
    ):
        if n:
            continue
        if feedback:
            text = f"No truth has come yet for an answer of the {side} (feedback with `response` "
            return Verdict.UNDECIDED, "NoFeedback", text + "and `truth`)."
        # The stable's silence is no fault of the candidate; without its answers nothing is known.
        verdict = Verdict.NO_DATA if side == "candidate" else Verdict.UNDECIDED
        return verdict, reason, f"The {side} has not answered any request yet."
    numbers, left = _numbers(evidence), _left(evidence)
    if any(_beyond(evidence, stream) for stream in _missing(evidence)):
        text = f"{numbers}: at these shares more requests would not lead to Pass."
        return Verdict.UNDECIDED, "NotShownAtTheseRates", text
    what = "candidate answers with a truth" if feedback else "candidate requests"
    many = "more" if left is None else f"about {max(left, 1):,} more"
    text = f"{numbers}: {many} {what} until Pass at these shares."
    return Verdict.UNDECIDED, "MoreRequestsNeeded", text


def _missing(evidence: AnswerEvidence) -> list[StreamEvidence]:
    """What a Pass still waits for."""
    pairs = zip(evidence.streams, evidence.waited, strict=True)
    return [stream for stream, wait in pairs if wait and not stream.passed]


def _beyond(evidence: AnswerEvidence, stream: StreamEvidence) -> bool:
    """The shares as they are lie as far apart as is unacceptable."""
    if stream.candidate is None or stream.stable is None:
        return False
    apart = stream.candidate - stream.stable
    if evidence.plan.metric is not Metric.FEEDBACK:
        apart = abs(apart)
    return apart >= evidence.plan.unacceptable


def _worst(evidence: AnswerEvidence) -> int | None:
    """The stream to tell of, by its place; None without streams.

    Of those harmed the one shown best, single classes before sets of them; else of those that a
    Pass still waits for, else of all it waited for, the one furthest from it.
    """
    if not evidence.streams:
        return None
    streams = evidence.streams
    if evidence.harmed:
        chosen = [i for i, stream in enumerate(streams) if stream.harmed]
        fewest = min(_classes(evidence, i) for i in chosen)
        chosen = [i for i in chosen if _classes(evidence, i) == fewest]
        return max(chosen, key=lambda i: streams[i].log10_harm)
    waited = [i for i, wait in enumerate(evidence.waited) if wait]
    chosen = [i for i in waited if not streams[i].passed] or waited
    return min(chosen, key=lambda i: (round(streams[i].log10_pass, 3), _classes(evidence, i), i))


def _classes(evidence: AnswerEvidence, i: int) -> int:
    return evidence.sets[i].count(" or ")


def _numbers(evidence: AnswerEvidence) -> str:
    at = _worst(evidence)
    if at is None:
        return "-"
    return _one(evidence, at, evidence.streams[at])


def _one(evidence: AnswerEvidence, at: int, stream: StreamEvidence) -> str:
    place, what = evidence.places[at], evidence.sets[at]
    candidate, stable = percent(stream.candidate), percent(stream.stable)
    of = f"({stream.n_c:,.0f} and {stream.n_s:,.0f})"
    if evidence.plan.metric is Metric.FEEDBACK:
        where = f"{place}: " if place else ""
        told = f"{candidate} of the candidate's answers wrong, {stable} of the stable's"
        return f"{where}{told} {of}"
    where = f"{place}, " if place else ""
    told = f"{candidate} of the candidate's answers, {stable} of the stable's"
    return f"{where}{what}: {told} {of}"


def _others(evidence: AnswerEvidence) -> str:
    """Further single classes, slices and true classes that are harmed for sure."""
    first = _worst(evidence)
    named = set(harmed_streams(evidence.streams, evidence.plan.alpha))
    others = [
        s.name
        for i, s in enumerate(evidence.streams)
        if s.name in named and i != first and not _classes(evidence, i)
    ]
    if not others:
        return ""
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return f" (also {', '.join(others[:_SHOWN])}{more})"


def _unwaited(evidence: AnswerEvidence) -> str:
    left_out = {
        place for place, wait in zip(evidence.places, evidence.waited, strict=True) if not wait
    }
    if not left_out:
        return ""
    least = percent(evidence.plan.least_share)
    return f"; {len(left_out)} parts with less than {least} of the answers were not waited for"


def _left(evidence: AnswerEvidence) -> int | None:
    """About how many more candidate answers until Pass: evidence grows with them.

    None where it has not begun to, so that nobody knows.
    """
    left = 0.0
    for stream in _missing(evidence):
        if stream.log10_pass <= 0.05 or not evidence.n_c or _beyond(evidence, stream):
            return None
        left = max(left, evidence.n_c * (stream.pass_needed / stream.log10_pass - 1.0))
    return round(left)


def _points(share: float) -> str:
    points = share * 100
    return f"{points:.3g} point{'' if round(points, 6) == 1 else 's'}"


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
