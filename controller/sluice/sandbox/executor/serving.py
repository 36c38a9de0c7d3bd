"""Puts the parts of one executor together and runs them until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from aiohttp import web

from sluice.sandbox.executor.grpc_server import GrpcServer
from sluice.sandbox.executor.http_server import HttpServer
from sluice.sandbox.executor.metrics import RequestMetrics
from sluice.sandbox.executor.model_client import ModelClient
from sluice.sandbox.executor.request_log import RequestLog
from sluice.sandbox.executor.settings import Settings

_DRAIN_SECONDS = 2.0
_KEEPALIVE_SECONDS = 7 * 86400.0
_NO_LIMIT = 0


def request_metrics(settings: Settings) -> RequestMetrics:
    """Empty metrics with the labels of this predictor. Its version is always empty."""
    server = {
        "deployment_name": settings.deployment,
        "predictor_name": settings.predictor,
        "predictor_version": "",
    }
    unit = settings.unit
    client = {
        "model_name": unit.name,
        "model_image": unit.image,
        "model_version": unit.image_version,
    }
    return RequestMetrics(server, server | client)


async def serve(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Serve until `stop` is set, or SIGTERM or SIGINT comes; then finish what is under way."""
    ending = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    metrics = request_metrics(settings)
    model = ModelClient(settings, metrics)
    log = RequestLog(settings)
    server = http_listener(HttpServer(settings, metrics, model, log))
    runner = web.ServerRunner(server, shutdown_timeout=_DRAIN_SECONDS)
    await runner.setup()
    site = web.TCPSite(runner, settings.bind_host, settings.http_port)
    await site.start()
    grpc_server = await _grpc(settings, metrics, log)
    try:
        await ending.wait()
    finally:
        if grpc_server:
            await grpc_server.stop(_DRAIN_SECONDS)
        await runner.cleanup()
        await model.close()
        await log.close()


def http_listener(server: HttpServer) -> web.Server:
    """Bodies of any size, packed or not passed on as they came, and connections that only the
    caller closes: all as the real one.

    A gateway keeps connections for an hour; one that is closed here just as it is used again would
    be an error that no model made.
    """
    loop = asyncio.get_running_loop()

    def request(
        message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=_NO_LIMIT
        )

    return web.Server(
        server.handle,
        request_factory=request,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=_KEEPALIVE_SECONDS,
    )


async def _grpc(settings: Settings, metrics: RequestMetrics, log: RequestLog) -> GrpcServer | None:
    if not settings.grpc_port:
        return None
    server = GrpcServer(settings, metrics, log)
    await server.start()
    return server
