"""Checks of answers in the pulse: beside the checks of how models serve, with queries of their own.

Owned by `Judging`, which holds the lock. A failed read here holds these checks and no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import structlog

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import AnswersCheckpoint, CheckStatus
from sluice.errors import MetricsError, QueryError
from sluice.evidence.answer_bank import AnswerBank
from sluice.evidence.answers import Incomparable
from sluice.evidence.judge_answers import judge_answers
from sluice.evidence.spec import answer_plans_of
from sluice.metrics.answer_queries import wants_of
from sluice.metrics.answers import AnswerObserver, AnswerPair, AnswerPulse
from sluice.metrics.observe import Pair

log = structlog.get_logger()


class AnswerJudging:
    """The running comparisons that have a check of answers; to all others it does nothing."""

    def __init__(self, observer: AnswerObserver) -> None:
        self._observer = observer
        self._bank = AnswerBank()
        self._ready: dict[str, float] = {}
        self._missing: dict[str, Incomparable] = {}
        self._unread: set[str] = set()
        self._problem = ""

    def __contains__(self, key: object) -> bool:
        return key in self._bank

    def open(
        self,
        pair: Pair,
        policy: CanaryPolicySpec,
        *,
        ready: float,
        now: float,
        counts_from: float = 0.0,
        checkpoint: AnswersCheckpoint | None = None,
    ) -> None:
        """Follow a comparison, if its policy asks for it; what was open is begun anew.

        `ready`: when the candidate became ready, `counts_from`: from when its requests count.
        """
        self.close(pair.key)
        plans = answer_plans_of(policy)
        if not plans:
            return
        self._bank.open(pair.key, plans, checkpoint.states if checkpoint else None)
        self._ready[pair.key] = ready
        followed = AnswerPair(
            pair.key, pair.namespace, pair.deployment, pair.stable, pair.candidate, wants_of(plans)
        )
        since = max(checkpoint.at, counts_from) if checkpoint else None
        self._observer.track(followed, now, since)

    def close(self, key: str) -> None:
        """Unknown keys are fine."""
        self._bank.close(key)
        self._observer.forget(key)
        self._ready.pop(key, None)
        self._missing.pop(key, None)
        self._unread.discard(key)

    def restart(self, key: str, at: float) -> None:
        """Nothing before `at` counts."""
        self._observer.restart(key, at)

    def pulse(self, now: float, apart: Iterable[str]) -> int:
        """Read once and move the evidence on; returns the queries sent.

        `apart`: rollouts in which only one version has users.
        """
        begins = {key: self._observer.counted_until(key) for key in self._ready}
        try:
            pulse = self._observer.pulse(now)
            self._missing = pulse.missing
            self._lay_out(now)
        except MetricsError as error:
            self._problem = str(error)
            return 0
        self._problem = ""
        self._advance(pulse, begins, apart)
        return pulse.queries

    def _lay_out(self, now: float) -> None:
        for key in self._ready:
            shown = self._observer.shown(key)
            if shown is not None and self._bank.lay_out(key, *shown):
                self._unread.add(key)
        if not self._unread:
            return
        unread, self._unread = self._unread, set()
        try:
            for key, (cells, past) in self._observer.history(unread, now).items():
                self._bank.remember(key, cells, past)
        except MetricsError as error:
            # Learned on the way, then. One that may be there later is asked again.
            if not isinstance(error, QueryError):
                self._unread = unread
            log.warning("the stables' past answers cannot be read", problem=str(error))

    def _advance(
        self, pulse: AnswerPulse, begins: Mapping[str, float | None], apart: Iterable[str]
    ) -> None:
        increments = {}
        for key, increment in pulse.increments.items():
            began = begins.get(key)
            age = 0.0 if began is None else began - self._ready[key]
            increments[key] = replace(increment, age=age)
        self._bank.update(increments, apart=frozenset(apart))

    def checks(self, key: str, *, fresh: bool, beside: bool) -> dict[str, CheckStatus]:
        """The statuses by name; {} for a comparison without such checks."""
        if key not in self._bank:
            return {}
        return {
            evidence.plan.name: judge_answers(
                evidence,
                fresh=fresh,
                beside=beside,
                missing=self._missing.get(key),
                problem=self._problem,
            )
            for evidence in self._bank.results(key)
        }

    def checkpoint(self, key: str) -> AnswersCheckpoint | None:
        """The evidence as it stands; None where there is none."""
        at = self._observer.counted_until(key)
        if key not in self._bank or at is None:
            return None
        states = self._bank.export(key)
        return AnswersCheckpoint(at=at, states=states) if states else None
