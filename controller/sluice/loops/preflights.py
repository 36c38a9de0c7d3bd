"""Runs preflights beside the reconcile workers: a few at a time, each for one rollout.

`ask` only notes what is wanted; what came of it is kept for `facts`, and its rollout is woken. What
is no longer wanted is cut. After a restart nothing is known here, and the status says what to ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from sluice.api.preflight import PreflightState, PreflightStatus
from sluice.clock import Clock
from sluice.compare.reaching import in_cluster, predictor_side
from sluice.engine.preflight_facts import PreflightAnswer, PreflightFacts, PreflightWish
from sluice.kube.client import Client
from sluice.kube.workqueue import WorkQueue
from sluice.loops.preflight_run import Attempt, Fields, Way, Ways
from sluice.resources import CONFIG_MAPS

log = structlog.get_logger()

_QUEUE_WAIT = 1.0
_PARALLEL = 4


class ClusterWays:
    """`Ways` to the predictors' own Services."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def config_map(self, namespace: str, name: str) -> Mapping[str, Any]:
        """A ConfigMap. Raises ApiError."""
        return self._client.get(CONFIG_MAPS, name, namespace)

    def side(self, wish: PreflightWish, predictor: Mapping[str, Any], *, parallel: int) -> Way:
        """One predictor's Service. Raises ApiError."""
        return predictor_side(
            self._client,
            wish.namespace,
            wish.deployment,
            predictor,
            protocol=wish.protocol,
            timeout=wish.spec.answer_timeout,
            parallel=parallel,
            inside=in_cluster(),
        )


class Preflights:
    """See the module. `on_end` is told the state that an attempt ended with."""

    def __init__(
        self,
        *,
        ways: Ways,
        clock: Clock,
        wake: Callable[[str], None],
        on_end: Callable[[str], None] = lambda _: None,
        parallel: int = _PARALLEL,
    ) -> None:
        self._ways = ways
        self._clock = clock
        self._wake = wake
        self._on_end = on_end
        self._parallel = parallel
        self._queue: WorkQueue[str] = WorkQueue(clock)
        self._lock = threading.Lock()
        self._attempts: dict[str, Attempt] = {}
        self._answers: dict[str, PreflightAnswer] = {}

    def start(self, threads: int) -> None:
        """Run in the background from now on, until `stop`: so many preflights at a time."""
        for index in range(threads):
            threading.Thread(target=self._run, name=f"preflight-{index}", daemon=True).start()

    def stop(self) -> None:
        """No new request is sent after this."""
        self._queue.shutdown()
        with self._lock:
            attempts = list(self._attempts.values())
            self._attempts.clear()
        for one in attempts:
            one.cancel()

    def ask(self, rollout: str, wish: PreflightWish | None) -> None:
        """Make this attempt, if it is not under way; None calls off what is."""
        called_off = None
        with self._lock:
            attempt, answer = self._attempts.get(rollout), self._answers.get(rollout)
            if wish is not None and answer is not None and _same(answer, wish):
                return  # the next pass takes it
            if wish is not None and attempt is not None and _same(attempt.wish, wish):
                return
            called_off = self._attempts.pop(rollout, None)
            self._answers.pop(rollout, None)
            if wish is not None:
                self._attempts[rollout] = Attempt(wish, self._ways, self._clock, self._parallel)
        if called_off is not None:
            called_off.cancel()
        if wish is not None:
            self._queue.add(rollout)

    def facts(self, rollout: str) -> PreflightFacts:
        """The newest answer, and how far an attempt under way is."""
        with self._lock:
            attempt, answer = self._attempts.get(rollout), self._answers.get(rollout)
        if attempt is None:
            return PreflightFacts(answer)
        return PreflightFacts(answer, attempt.done, attempt.total)

    def written_down(self, rollout: str, status: PreflightStatus | None) -> None:
        """Forget the answer that the status has."""
        with self._lock:
            answer = self._answers.get(rollout)
            if answer is not None and (status is None or status.attempt >= answer.attempt):
                del self._answers[rollout]

    def forget(self, rollout: str) -> None:
        """The rollout is gone."""
        self.ask(rollout, None)

    def _run(self) -> None:
        while True:
            rollout = self._queue.get(timeout=_QUEUE_WAIT)
            if rollout is None:
                if self._queue.closed:
                    return
                continue
            try:
                self.one(rollout)
            finally:
                self._queue.done(rollout)

    def one(self, rollout: str) -> None:
        """Make the attempt that is wanted for a rollout. Never raises."""
        with self._lock:
            attempt = self._attempts.get(rollout)
        if attempt is None:
            return
        wish = attempt.wish
        began = self._clock.monotonic()
        try:
            found: Fields = attempt.run()
        except Exception as error:  # one odd preflight must not stop the others
            log.exception("preflight failed", rollout=rollout)
            found = {
                "state": PreflightState.BLOCKED,
                "verdict": None,
                "reason": "InternalError",
                "message": f"{type(error).__name__}: the controller's log has more",
            }
        answer = PreflightAnswer(wish.question, wish.attempt, self._clock.now(), found)
        with self._lock:
            if self._attempts.get(rollout) is not attempt:
                return  # called off while it was under way
            del self._attempts[rollout]
            self._answers[rollout] = answer
        state = str(found["state"])
        self._on_end(state)
        log.info(
            "preflight ended",
            rollout=rollout,
            state=state,
            reason=found.get("reason"),
            requests=attempt.done,
            seconds=round(self._clock.monotonic() - began, 1),
        )
        self._wake(rollout)


def _same(one: PreflightAnswer | PreflightWish, wish: PreflightWish) -> bool:
    return (one.question, one.attempt) == (wish.question, wish.attempt)
