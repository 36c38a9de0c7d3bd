"""The executor's REST side: routes, headers, error bodies, and what is counted."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from sluice.sandbox.executor.metrics import RequestMetrics
from sluice.sandbox.executor.model_client import Answer, ModelClient, ModelError
from sluice.sandbox.executor.request_log import SKIP, RequestLog
from sluice.sandbox.executor.settings import Settings

PUID = "Seldon-Puid"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_FEEDBACK = "/send-feedback"
_NOT_FOUND = b"404 page not found\n"
_COMMON = {
    "Access-Control-Allow-Headers": "Accept, Accept-Encoding, Authorization, Content-Length, "
    "Content-Type, X-CSRF-Token",
    "Access-Control-Allow-Origin": "*",
    "X-Content-Type-Options": "nosniff",
}
_FORWARDED = ("Content-Type", "Content-Encoding", "traceparent", "tracestate")


@dataclass(frozen=True)
class _Result:
    status: int
    body: bytes = b""
    content_type: str = ""


@dataclass(frozen=True)
class _Route:
    """One path. `method` None: any verb. `service` None: not counted."""

    method: str | None
    handler: Callable[[web.BaseRequest, str], Awaitable[_Result]]
    service: str | None = None


class HttpServer:
    """Answers one request at a time per connection, any number of connections at once."""

    def __init__(
        self,
        settings: Settings,
        metrics: RequestMetrics,
        model: ModelClient,
        log: RequestLog | None = None,
    ) -> None:
        self._log = log or RequestLog(settings)
        self._settings = settings
        self._metrics = metrics
        self._model = model
        predict = _Route("POST", self._predict, "predictions")
        feedback = _Route("POST", self._feedback, "feedback")
        self._routes = {
            "/ready": _Route(None, self._ready),
            "/live": _Route(None, self._live),
            settings.metrics_path: _Route(None, self._exposition),
            "/api/v1.0/health/status": _Route("GET", self._status, "status"),
            "/api/v1.0/metadata": _Route("GET", self._graph_metadata, "metadata"),
            f"/api/v1.0/metadata/{settings.unit.name}": _Route(
                "GET", self._model_metadata, "metadata"
            ),
        }
        for version in ("v0.1", "v1.0"):
            self._routes[f"/api/{version}/predictions"] = predict
            self._routes[f"/api/{version}/feedback"] = feedback

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """The answer to any request; never raises."""
        route = self._routes.get(request.path)
        if route is None:
            headers = {"Content-Type": _TEXT, "X-Content-Type-Options": "nosniff"}
            return _response(404, _NOT_FOUND, headers)
        preflight = request.method == "OPTIONS" and route.method is not None
        if route.method not in (None, request.method) and not preflight:
            return _response(405, b"", {})
        puid = request.headers.get(PUID) or str(uuid.uuid4())
        headers = {**_COMMON, PUID: puid}
        if route.method:
            headers["Access-Control-Allow-Methods"] = ",".join(sorted(("OPTIONS", route.method)))
        if preflight:
            return _response(200, b"", headers)
        start = time.perf_counter()
        result = await route.handler(request, puid)
        if result.content_type:
            headers["Content-Type"] = result.content_type
        if route.service:
            # Before the answer leaves, so that who has the answer finds it counted.
            self._metrics.served(
                service=route.service,
                method=request.method.lower(),
                code=str(result.status),
                seconds=time.perf_counter() - start,
            )
        return _response(result.status, result.body, headers)

    async def _predict(self, request: web.BaseRequest, puid: str) -> _Result:
        return await self._forward(request, puid, "/predict")

    async def _feedback(self, request: web.BaseRequest, puid: str) -> _Result:
        return await self._forward(request, puid, _FEEDBACK)

    async def _forward(self, request: web.BaseRequest, puid: str, path: str) -> _Result:
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        headers.setdefault("Content-Type", _JSON)
        headers[PUID] = puid
        body, skip = await request.read(), request.headers.get(SKIP, "")
        asked = "feedback" if path == _FEEDBACK else "request"
        if self._log.wants(asked, skip):
            encoding = headers.get("Content-Encoding", "")
            self._log.add(asked, body, headers["Content-Type"], puid, encoding)
        try:
            answer = await self._model.request("POST", path, body, headers)
        except ModelError as error:
            return _failure(str(error))
        if asked == "request" and answer.status == 200 and self._log.wants("response", skip):
            self._log.add("response", answer.body, answer.content_type or _JSON, puid)
        return _passed_on(answer)

    async def _ask(self, puid: str, path: str) -> Answer:
        return await self._model.request("GET", path, None, {PUID: puid})

    async def _model_metadata(self, request: web.BaseRequest, puid: str) -> _Result:
        del request
        try:
            return _passed_on(await self._ask(puid, "/metadata"))
        except ModelError as error:
            return _failure(str(error))

    async def _graph_metadata(self, request: web.BaseRequest, puid: str) -> _Result:
        del request
        try:
            answer = await self._ask(puid, "/metadata")
            model = json.loads(answer.body)
        except (ModelError, ValueError) as error:
            return _failure(str(error))
        if answer.status != 200:
            return _passed_on(answer)
        # Empty texts and objects are left out, lists are not.
        known = {key: model.get(key) for key in ("name", "platform") if model.get(key)}
        for key in ("versions", "inputs", "outputs"):
            known[key] = model.get(key, [])
        if model.get("custom"):
            known["custom"] = model["custom"]
        graph = {
            "name": self._settings.predictor,
            "models": {self._settings.unit.name: known},
            "graphinputs": known["inputs"],
            "graphoutputs": known["outputs"],
        }
        return _Result(200, json.dumps(graph, separators=(",", ":")).encode(), _JSON)

    async def _ready(self, request: web.BaseRequest, puid: str) -> _Result:
        del request, puid
        return _Result(200 if await self._model.reachable() else 503)

    async def _status(self, request: web.BaseRequest, puid: str) -> _Result:
        return await self._ready(request, puid)

    async def _live(self, request: web.BaseRequest, puid: str) -> _Result:
        del request, puid
        return _Result(200)

    async def _exposition(self, request: web.BaseRequest, puid: str) -> _Result:
        del request, puid
        return _Result(200, self._metrics.text().encode(), _EXPOSITION)


def _passed_on(answer: Answer) -> _Result:
    """The model's body as it is. What is not a success loses its content type on the way."""
    if answer.status == 200:
        return _Result(200, answer.body, answer.content_type or _JSON)
    return _Result(answer.status, answer.body, _TEXT)


def _failure(info: str) -> _Result:
    body = {"status": {"code": 500, "info": info, "status": "FAILURE"}}
    return _Result(500, json.dumps(body, separators=(",", ":")).encode(), _TEXT)


class _Bare(web.Response):
    """A response without the server's name, and without a content type of its own choosing."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self._headers.popall("Server", None)
        if not self.body:
            self._headers.popall("Content-Type", None)
            self._headers["Content-Length"] = "0"


def _response(status: int, body: bytes, headers: dict[str, str]) -> web.Response:
    return _Bare(status=status, body=body, headers=headers)
