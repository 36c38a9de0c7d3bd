"""The executor's request logger: bodies to a URL as CloudEvents, never in a request's way.

Names and behaviour are those of the real one's source (executor/logger and executor/predictor):
`graph.logger` has a mode and perhaps a URL; what is to be sent waits in a bounded queue; ten
workers send it once each, by HTTP in the binary form; what does not fit, or does not arrive, is a
line in the log and nothing else.
"""

from __future__ import annotations

import asyncio
import gzip
import sys
import uuid
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from sluice.sandbox.executor.settings import Settings

SKIP = "Seldon-Skip-Logging"
_TYPES = {
    "request": "io.seldon.serving.inference.request",
    "response": "io.seldon.serving.inference.response",
    "feedback": "io.seldon.serving.feedback",
}
# Feedback goes where responses go.
_MODES = {"request": ("request", "all"), "response": ("response", "all")}
_MODES["feedback"] = _MODES["response"]
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_WORKERS = 10
# The real one waits as long as the network does; here nothing is to pile up for ever.
_SEND_SECONDS = 30.0


@dataclass(frozen=True)
class _Event:
    kind: str
    body: bytes
    content_type: str
    content_encoding: str
    puid: str


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class RequestLog:
    """Logs what the graph's node asks for. Use inside a running event loop; `close` ends it."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = _to_stderr) -> None:
        self._settings = settings
        self._say = say
        self._logger = settings.unit.logger
        self._queue: asyncio.Queue[_Event] = asyncio.Queue(settings.log_queue)
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def wants(self, kind: str, skip: str = "") -> bool:
        """Whether a request, response or feedback is to be logged; `skip`: that header's value."""
        logger = self._logger
        return logger is not None and logger.mode in _MODES[kind] and skip not in _TRUE

    def add(
        self, kind: str, body: bytes, content_type: str, puid: str, content_encoding: str = ""
    ) -> None:
        """Take one body. Returns at once, and never raises."""
        if self._session is None:
            self._begin()
        event = _Event(kind, body, content_type, content_encoding, puid)
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._spawn(self._late(event))

    async def close(self) -> None:
        """Stop sending; what still waits is lost, as with the real one."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _begin(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_SEND_SECONDS),
            skip_auto_headers=("Accept", "Accept-Encoding"),
            headers={"User-Agent": "Go-http-client/1.1"},
        )
        for _ in range(_WORKERS):
            self._spawn(self._work(self._session))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _late(self, event: _Event) -> None:
        """Beside the request: the queue may have room in a moment."""
        try:
            async with asyncio.timeout(self._settings.log_write_timeout):
                await self._queue.put(event)
        except TimeoutError:
            self._say(
                "failed to log request: timed out waiting to queue log request: buffer is full"
            )

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._send(session, event)
            except (
                aiohttp.ClientError,
                OSError,
                TimeoutError,
                ValueError,
                EOFError,
                zlib.error,
            ) as error:
                why = str(error) or type(error).__name__
                self._say(f"Failed to send cloudevent log: {self._url}: {why}")

    @property
    def _url(self) -> str:
        return self._logger.url if self._logger else ""

    async def _send(self, session: aiohttp.ClientSession, event: _Event) -> None:
        body = event.body
        if event.content_encoding == "gzip":
            body = gzip.decompress(body)
        known = self._settings
        headers = {
            "Ce-Specversion": "1.0",
            "Ce-Id": str(uuid.uuid4()),
            "Ce-Type": _TYPES[event.kind],
            "Ce-Source": known.source,
            "Ce-Time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "Ce-Modelid": known.unit.name,
            "Ce-Requestid": event.puid,
            "Ce-Inferenceservicename": known.deployment,
            "Ce-Namespace": known.namespace,
            "Ce-Endpoint": known.predictor,
            "Content-Type": event.content_type,
        }
        async with session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            await answer.read()
            if not 200 <= answer.status < 300:
                raise ValueError(f"error sending cloudevent: {answer.status} {answer.reason}")
