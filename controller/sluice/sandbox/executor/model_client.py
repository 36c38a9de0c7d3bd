"""Requests to the model server, over connections that are kept open."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from sluice.sandbox.executor.metrics import RequestMetrics
from sluice.sandbox.executor.settings import Settings

# Below the model server's own limit (2 s by default): a connection that it is about to close must
# not be used for another request.
_KEEPALIVE_SECONDS = 1.0
_CONNECTIONS = 256
_PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class Answer:
    """What the model answered: status, body and content type as they came."""

    status: int
    body: bytes
    content_type: str


class ModelError(Exception):
    """No answer. The text says why, in the words of Go's HTTP client."""


class ModelClient:
    """Calls one model's REST port and counts its answers. Use inside a running event loop."""

    def __init__(self, settings: Settings, metrics: RequestMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        unit = settings.unit
        # `localhost` of a pod is the pod's own address here; errors name what was configured.
        self._named = f"http://{unit.host}:{unit.http_port}"
        self._dialled = f"{settings.model_host}:{unit.http_port}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_SECONDS
            ),
            timeout=aiohttp.ClientTimeout(total=settings.rest_timeout),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
        )

    async def request(
        self, verb: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        """The model's answer, whatever its status. Raises ModelError if there is none.

        Only answers are counted: a call that failed on the way is in no client metric.
        """
        start = time.perf_counter()
        url = f"http://{self._dialled}{path}"
        try:
            async with self._session.request(
                verb, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                answer = Answer(
                    response.status, await response.read(), response.headers.get("Content-Type", "")
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ModelError(
                f'{verb.capitalize()} "{self._named}{path}": {self._why(error)}'
            ) from error
        self._metrics.called(
            service=path,
            method=verb.lower(),
            code=str(answer.status),
            seconds=time.perf_counter() - start,
        )
        return answer

    def _why(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        if isinstance(error, aiohttp.ClientConnectorError):
            reason = os.strerror(error.os_error.errno or 0).lower()
            return f"dial tcp {self._dialled}: connect: {reason}"
        if isinstance(error, ConnectionResetError):
            return f"read tcp {self._dialled}: read: connection reset by peer"
        return "EOF"

    async def reachable(self) -> bool:
        """Whether the model's port accepts connections: all that `/ready` asks."""
        host, port = self._settings.model_host, self._settings.unit.service_port
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
