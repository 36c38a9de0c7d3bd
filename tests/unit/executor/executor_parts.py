"""A made-up model behind the executor's stand-in, all in one event loop on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from sluice.sandbox.executor.http_server import HttpServer
from sluice.sandbox.executor.metrics import RequestMetrics
from sluice.sandbox.executor.model_client import ModelClient
from sluice.sandbox.executor.request_log import RequestLog
from sluice.sandbox.executor.serving import http_listener, request_metrics
from sluice.sandbox.executor.settings import Settings, Unit

PREDICT = "/api/v1.0/predictions"
FEEDBACK = "/api/v1.0/feedback"
SERVER = "seldon_api_executor_server_requests_seconds_count"
CLIENT = "seldon_api_executor_client_requests_seconds_count"


def settings(model_port: int = 9, **changes: Any) -> Settings:
    """Settings of predictor `canary` of `iris`, whose model listens on a port of 127.0.0.1."""
    unit = Unit("model", "repo/m", "1", "localhost", model_port, model_port, model_port)
    values: dict[str, Any] = {
        "deployment": "iris",
        "namespace": "prod",
        "predictor": "canary",
        "unit": unit,
        "http_port": 0,
        "grpc_port": 0,
        "metrics_path": "/prometheus",
        "bind_host": "127.0.0.1",
        "model_host": "127.0.0.1",
        "rest_timeout": 10.0,
        "grpc_timeout": 10.0,
    }
    return Settings(**values | changes)


def encoded_predictor(**changes: Any) -> str:
    """ENGINE_PREDICTOR with some keys of the predictor replaced."""
    endpoint = {"service_host": "localhost", "service_port": 9000, "httpPort": 9000}
    predictor = {
        "name": "main",
        "graph": {"name": "model", "type": "MODEL", "endpoint": endpoint | {"grpcPort": 9500}},
        "componentSpecs": [
            {"spec": {"containers": [{"name": "model", "image": "registry:5000/iris:1.2"}]}}
        ],
    }
    return base64.b64encode(json.dumps(predictor | changes).encode()).decode()


@dataclass
class Pod:
    """An executor in front of a made-up model. `seen` are the requests the model got.

    `said` are the lines of its request log.
    """

    url: str
    session: aiohttp.ClientSession
    metrics: RequestMetrics
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    stop_model: Callable[[], Awaitable[None]] | None = None

    async def ask(
        self, verb: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        async with self.session.request(
            verb, self.url + path, data=body, headers=headers
        ) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def predict(self, body: bytes = b"{}") -> tuple[int, dict[str, str], bytes]:
        return await self.ask("POST", PREDICT, body, **{"Content-Type": "application/json"})

    def counted(self, family: str) -> dict[str, float]:
        """`code method service` -> count."""
        return counts(self.metrics.text(), family)


def counts(text: str, family: str) -> dict[str, float]:
    from prometheus_client.parser import text_string_to_metric_families

    return {
        f"{s.labels['code']} {s.labels['method']} {s.labels['service']}": s.value
        for metric in text_string_to_metric_families(text)
        for s in metric.samples
        if s.name == family
    }


Model = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def running(
    model: Model, with_unit: Callable[[int], Unit] | None = None, **changes: Any
) -> AsyncIterator[Pod]:
    """A pod whose model answers every path with `model`; `with_unit` makes its unit of a port."""
    seen: list[tuple[str, str, dict[str, str], bytes]] = []
    connections: set[tuple[str, int]] = set()

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        connections.add(request.transport.get_extra_info("peername"))
        seen.append((request.method, request.path, dict(request.headers), await request.read()))
        return await model(request)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", answer)
    model_runner = web.AppRunner(app, shutdown_timeout=0.1)
    await model_runner.setup()
    model_site = web.TCPSite(model_runner, "127.0.0.1", 0)
    await model_site.start()
    model_port = model_runner.addresses[0][1]
    if with_unit is not None:
        changes["unit"] = with_unit(model_port)
    made = settings(model_port, **changes)
    metrics = request_metrics(made)
    client = ModelClient(made, metrics)
    said: list[str] = []
    log = RequestLog(made, said.append)
    runner = web.ServerRunner(http_listener(HttpServer(made, metrics, client, log)))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
    try:
        port = runner.addresses[0][1]
        yield Pod(
            f"http://127.0.0.1:{port}",
            session,
            metrics,
            seen,
            connections,
            said,
            model_runner.cleanup,
        )
    finally:
        await session.close()
        await runner.cleanup()
        await client.close()
        await log.close()
        await model_runner.cleanup()


async def good(request: web.Request) -> web.Response:
    """A model's answer with a newline at the end, as the real server writes it."""
    return web.Response(body=b'{"data":{"ndarray":[[1.0]]}}\n', content_type="application/json")


def go(work: Awaitable[None]) -> None:
    """Run one test's coroutine, with a limit."""

    async def limited() -> None:
        await asyncio.wait_for(work, 30)

    asyncio.run(limited())
