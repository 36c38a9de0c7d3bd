"""Asks webhooks beside the reconcile workers: a few threads, each question in one hand at a time.

`ask` only notes; the answer is kept for `answers`, and its rollout is woken. What leaves the
process is a POST to an allowed host (`HostRules`), without redirects, proxies or cookies; what
comes in is bounded in time and size. Nothing of a URL but its host is logged.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from sluice.clock import Clock
from sluice.engine.facts import Answer, Question
from sluice.errors import WebhookDeniedError, WebhookError
from sluice.kube.workqueue import WorkQueue
from sluice.loops.posting import Reply

log = structlog.get_logger()

_RETRY_BASE, _RETRY_CAP = 1.0, 8.0
_QUEUE_WAIT = 1.0
MOST_WAITING = 1000
_MESSAGE_LENGTH = 300

_Key = tuple[str, str]  # rollout, question


class Post(Protocol):
    """Sends one request. Raises WebhookDeniedError (never to be tried again) or WebhookError."""

    def __call__(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout: float, /
    ) -> Reply: ...


@dataclass
class _Asked:
    question: Question
    tries: int = 0


class Webhooks:
    """See the module. `keys` are files by name, read at each use, so that a key can be changed."""

    def __init__(
        self,
        *,
        post: Post,
        clock: Clock,
        wake: Callable[[str], None],
        keys: Mapping[str, Path] | None = None,
        on_answer: Callable[[str], None] | None = None,
    ) -> None:
        self._post = post
        self._clock = clock
        self._wake = wake
        self._keys = dict(keys or {})
        self._on_answer = on_answer or _ignore
        self._queue: WorkQueue[_Key] = WorkQueue(clock, base=_RETRY_BASE, cap=_RETRY_CAP)
        self._lock = threading.Lock()
        self._asked: dict[_Key, _Asked] = {}
        self._answers: dict[str, dict[str, Answer]] = {}

    def start(self, threads: int) -> None:
        """Ask in the background from now on, until `stop`."""
        for index in range(threads):
            threading.Thread(target=self._run, name=f"webhook-{index}", daemon=True).start()

    def stop(self) -> None:
        """No new request is sent after this."""
        self._queue.shutdown()

    def ask(self, rollout: str, questions: Iterable[Question]) -> None:
        """Ask what is not being asked already; what is no longer wanted is not tried again."""
        wanted = {(rollout, q.id): q for q in questions}
        with self._lock:
            for key in [k for k in self._asked if k[0] == rollout and k not in wanted]:
                del self._asked[key]
            for key, question in wanted.items():
                under_way = self._asked.get(key)
                if under_way is not None and under_way.question.attempt >= question.attempt:
                    continue
                answer = self._answers.get(rollout, {}).get(question.id)
                if answer is not None and answer.attempt >= question.attempt:
                    continue
                if len(self._asked) >= MOST_WAITING:
                    log.warning("too many webhooks wait", rollout=rollout)
                    continue  # the gate stays closed; the next pass asks again
                self._asked[key] = _Asked(question)
                self._queue.forget(key)
                self._queue.add(key)

    def answers(self, rollout: str) -> dict[str, Answer]:
        """The answers for a rollout, by question."""
        with self._lock:
            return dict(self._answers.get(rollout, {}))

    def written_down(self, rollout: str, attempts: Mapping[str, int]) -> None:
        """Forget the answers that the status has: `attempts` are its attempts by question."""
        with self._lock:
            kept = {
                question: answer
                for question, answer in self._answers.get(rollout, {}).items()
                if question in attempts and answer.attempt > attempts[question]
            }
            if kept:
                self._answers[rollout] = kept
            else:
                self._answers.pop(rollout, None)

    def forget(self, rollout: str) -> None:
        """The rollout is gone."""
        self.ask(rollout, ())
        self.written_down(rollout, {})

    def _run(self) -> None:
        while True:
            key = self._queue.get(timeout=_QUEUE_WAIT)
            if key is None:
                if self._queue.closed:
                    return
                continue
            try:
                self.one(key)
            except Exception:  # one odd question must not stop the others
                log.exception("webhook failed", rollout=key[0])
            finally:
                self._queue.done(key)

    def one(self, key: _Key) -> None:
        """One try of one question."""
        with self._lock:
            asked = self._asked.get(key)
        if asked is None:
            return
        question = asked.question
        asked.tries += 1
        try:
            allowed, message = self._try(question)
            self._settle(key, asked, allowed=allowed, message=message)
        except WebhookDeniedError as error:
            self._settle(key, asked, allowed=False, message=str(error), answered=False)
        except WebhookError as error:
            if asked.tries <= question.webhook.retries:
                self._queue.retry(key)
                return
            message = f"{error} ({asked.tries} tries)"
            self._settle(key, asked, allowed=False, message=message, answered=False)

    def _try(self, question: Question) -> tuple[bool, str]:
        webhook = question.webhook
        body = json.dumps(question.body, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": question.idempotency_key,
        }
        if webhook.key is not None:
            headers["Sluice-Signature"] = signature(
                self._key(webhook.key), body, int(self._clock.now())
            )
        reply = self._post(webhook.url, body, headers, webhook.timeout)
        return understood(reply)

    def _key(self, name: str) -> bytes:
        path = self._keys.get(name)
        if path is None:
            raise WebhookDeniedError(
                f"the controller has no key {name!r}: start it with --webhook-key-file"
            )
        try:
            key = path.read_bytes().strip()
        except OSError as error:
            raise WebhookError(f"the key {name!r} cannot be read: {error.strerror}") from error
        if not key:
            raise WebhookError(f"the file of the key {name!r} is empty")
        return key

    def _settle(
        self, key: _Key, asked: _Asked, *, allowed: bool, message: str, answered: bool = True
    ) -> None:
        rollout, question = key[0], asked.question
        self._queue.forget(key)
        answer = Answer(
            question=question.id,
            attempt=question.attempt,
            allowed=allowed,
            message=_shortened(message),
            at=self._clock.now(),
            answered=answered,
        )
        with self._lock:
            if self._asked.get(key) is not asked:
                return  # taken back while it was being asked
            del self._asked[key]
            self._answers.setdefault(rollout, {})[question.id] = answer
        outcome = "allowed" if allowed else "denied" if answered else "failed"
        self._on_answer(outcome)
        log.info(
            "webhook answered", rollout=rollout, webhook=question.webhook.name, outcome=outcome
        )
        self._wake(rollout)


def _ignore(_outcome: str) -> None:
    pass


def signature(key: bytes, body: bytes, at: int) -> str:
    """``t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">``: an old request shows its age."""
    digest = hmac.new(key, str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def understood(reply: Reply) -> tuple[bool, str]:
    """(allowed, message). 2xx allows unless its JSON says ``"allow": false``; else WebhookError."""
    content = _json(reply.body)
    said = content.get("message")
    text = said if isinstance(said, str) else ""
    if content.get("allow") is False:
        return False, text or "it says no"
    if 200 <= reply.status < 300:
        if reply.truncated:
            raise WebhookError("its answer is too long")
        return True, text or f"it answered {reply.status}"
    raise WebhookError(f"it answered {reply.status}" + (f": {text}" if text else ""))


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _shortened(text: str) -> str:
    """Of what others say only printable characters, and not too many."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= _MESSAGE_LENGTH else clean[: _MESSAGE_LENGTH - 1] + "…"
