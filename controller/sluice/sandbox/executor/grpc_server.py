"""The executor's gRPC side. Messages pass through as bytes: nothing here needs their schema."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio

from sluice.sandbox.executor.metrics import RequestMetrics
from sluice.sandbox.executor.request_log import RequestLog
from sluice.sandbox.executor.settings import Settings

_PUID = "seldon-puid"
_FEEDBACK = "/seldon.protos.Model/SendFeedback"
_PROTOBUF = "application/protobuf"
# What callers call -> what the model is called with.
METHODS = {
    "/seldon.protos.Seldon/Predict": "/seldon.protos.Model/Predict",
    "/seldon.protos.Seldon/SendFeedback": _FEEDBACK,
}
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A model that comes back is called again within a second; the default backs off for minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
# Names as Go's grpc writes them, which is what the label `code` holds.
_WORDS = {
    grpc.StatusCode.OK: "OK",
    grpc.StatusCode.CANCELLED: "Canceled",
}

_Behaviour = Callable[[bytes, "grpc.aio.ServicerContext"], Awaitable[bytes]]


def code_word(code: grpc.StatusCode) -> str:
    """`DEADLINE_EXCEEDED` -> `DeadlineExceeded`, `CANCELLED` -> `Canceled`, `OK` -> `OK`."""
    return _WORDS.get(code) or code.name.title().replace("_", "")


class GrpcServer:
    """Forwards unary calls to the model's gRPC port and counts them on both sides.

    Unlike REST, a call that the model never answered is in the client metrics too.
    """

    def __init__(
        self, settings: Settings, metrics: RequestMetrics, log: RequestLog | None = None
    ) -> None:
        self._log = log or RequestLog(settings)
        self._settings = settings
        self._metrics = metrics
        target = f"{settings.model_host}:{settings.unit.grpc_port}"
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((_Handler(self._behaviour),))

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        address = f"{self._settings.bind_host}:{self._settings.grpc_port}"
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"{address}: {error}") from error
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Let calls under way end within `grace` seconds."""
        await self._server.stop(grace)
        await self._channel.close()

    def _behaviour(self, method: str) -> _Behaviour:
        model_method = METHODS[method]
        call = self._channel.unary_unary(model_method)
        asked = "feedback" if model_method == _FEEDBACK else "request"

        async def forward(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            given = dict(context.invocation_metadata() or ())
            puid = given.get(_PUID) or str(uuid.uuid4())
            start = time.perf_counter()
            if self._log.wants(asked):
                self._log.add(asked, request, _PROTOBUF, puid)
            try:
                answer: bytes = await call(
                    request, metadata=((_PUID, puid),), timeout=self._settings.grpc_timeout
                )
            except grpc.aio.AioRpcError as error:
                self._count(method, model_method, error.code(), start)
                await context.abort(error.code(), error.details() or "")
            self._count(method, model_method, grpc.StatusCode.OK, start)
            if asked == "request" and self._log.wants("response"):
                self._log.add("response", answer, _PROTOBUF, puid)
            await context.send_initial_metadata(((_PUID, puid),))
            return answer

        return forward

    def _count(self, method: str, model_method: str, code: grpc.StatusCode, start: float) -> None:
        word, seconds = code_word(code), time.perf_counter() - start
        self._metrics.called(service=model_method, method="unary", code=word, seconds=seconds)
        self._metrics.served(service=method, method="unary", code=word, seconds=seconds)


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the behaviour by the method's full name; None makes it Unimplemented, uncounted."""

    def __init__(self, behaviour: Callable[[str], _Behaviour]) -> None:
        self._handlers = {
            method: grpc.unary_unary_rpc_method_handler(behaviour(method)) for method in METHODS
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)
