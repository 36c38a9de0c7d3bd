"""gRPC calls pass through as bytes, and their codes are counted as words."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from executor_parts import CLIENT, SERVER, counts, go, settings

from sluice.sandbox.executor.grpc_server import GrpcServer, code_word
from sluice.sandbox.executor.request_log import RequestLog
from sluice.sandbox.executor.serving import request_metrics
from sluice.sandbox.executor.settings import Logger
from sluice.sandbox.ports import free_port

PREDICT, FEEDBACK = "/seldon.protos.Seldon/Predict", "/seldon.protos.Seldon/SendFeedback"


class Model(grpc.GenericRpcHandler):
    """Answers with what it got and its method; fails on b"boom"."""

    def service(self, details):
        async def answer(request, context):
            if request == b"boom":
                await context.abort(grpc.StatusCode.UNKNOWN, "Exception calling application: boom")
            if request == b"late":
                await asyncio.Event().wait()
            return details.method.encode() + b" " + request

        return grpc.unary_unary_rpc_method_handler(answer)


class Pod:
    def __init__(self, model, channel, metrics, log):
        self.model, self.channel, self.metrics, self.log = model, channel, metrics, log

    async def call(self, method=PREDICT, request=b"x", **metadata):
        given = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        call = self.channel.unary_unary(method)(request, metadata=given, timeout=20)
        return await call, dict(await call.initial_metadata())

    async def failure(self, method=PREDICT, request=b"boom"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.channel.unary_unary(method)(request, timeout=20)
        return caught.value

    def counted(self, family):
        return counts(self.metrics.text(), family)


@asynccontextmanager
async def running(logger=None, **changes):
    model = grpc.aio.server()
    model.add_generic_rpc_handlers((Model(),))
    model_port = model.add_insecure_port("127.0.0.1:0")
    await model.start()
    made = settings(model_port, grpc_port=free_port(), **changes)
    made = replace(made, unit=replace(made.unit, logger=logger))
    metrics, log = request_metrics(made), Noted(made)
    server = GrpcServer(made, metrics, log)
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{made.grpc_port}")
    try:
        yield Pod(model, channel, metrics, log)
    finally:
        await channel.close()
        await server.stop(0)
        await model.stop(0)


def test_a_call_reaches_the_models_own_service_and_is_counted_as_ok():
    async def work():
        async with running() as pod:
            answer, _ = await pod.call()
            assert answer == b"/seldon.protos.Model/Predict x"
            assert pod.counted(SERVER) == {f"OK unary {PREDICT}": 1}
            assert pod.counted(CLIENT) == {"OK unary /seldon.protos.Model/Predict": 1}

    go(work())


def test_feedback_has_a_service_of_its_own():
    async def work():
        async with running() as pod:
            await pod.call(FEEDBACK)
            assert pod.counted(SERVER) == {f"OK unary {FEEDBACK}": 1}
            assert pod.counted(CLIENT) == {"OK unary /seldon.protos.Model/SendFeedback": 1}

    go(work())


def test_a_model_that_raises_is_unknown_with_its_own_words():
    async def work():
        async with running() as pod:
            error = await pod.failure()
            assert error.code() is grpc.StatusCode.UNKNOWN
            assert error.details() == "Exception calling application: boom"
            assert pod.counted(SERVER) == {f"Unknown unary {PREDICT}": 1}

    go(work())


def test_a_dead_model_is_unavailable_and_counted_on_both_sides():
    async def work():
        async with running() as pod:
            await pod.model.stop(0)
            assert (await pod.failure()).code() is grpc.StatusCode.UNAVAILABLE
            assert pod.counted(SERVER) == {f"Unavailable unary {PREDICT}": 1}
            assert pod.counted(CLIENT) == {"Unavailable unary /seldon.protos.Model/Predict": 1}

    go(work())


def test_a_late_model_exceeds_the_deadline_of_the_annotation():
    async def work():
        async with running(grpc_timeout=0.05) as pod:
            error = await pod.failure(request=b"late")
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert pod.counted(SERVER) == {f"DeadlineExceeded unary {PREDICT}": 1}

    go(work())


def test_an_unknown_method_is_unimplemented_and_counted_nowhere():
    async def work():
        async with running() as pod:
            error = await pod.failure("/seldon.protos.Seldon/Nothing")
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
            assert "seldon_" not in pod.metrics.text()

    go(work())


def test_the_callers_id_comes_back():
    async def work():
        async with running() as pod:
            _, initial = await pod.call(seldon_puid="my-id")
            assert initial["seldon-puid"] == "my-id"
            _, initial = await pod.call()
            assert initial["seldon-puid"]

    go(work())


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (grpc.StatusCode.OK, "OK"),
        (grpc.StatusCode.CANCELLED, "Canceled"),
        (grpc.StatusCode.UNAVAILABLE, "Unavailable"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "ResourceExhausted"),
    ],
)
def test_codes_are_words(code, word):
    assert code_word(code) == word


class Noted(RequestLog):
    """Notes what it is to log."""

    def __init__(self, made):
        super().__init__(made)
        self.added = []

    def add(self, kind, body, content_type, puid, content_encoding=""):
        self.added.append((kind, body, content_type))


def test_calls_are_logged_as_protobuf():
    async def work():
        async with running(logger=Logger("all", "http://sink")) as pod:
            await pod.call()
            await pod.call(FEEDBACK)
            await pod.failure()
            kind = "application/protobuf"
            assert pod.log.added == [
                ("request", b"x", kind),
                ("response", b"/seldon.protos.Model/Predict x", kind),
                ("feedback", b"x", kind),
                ("request", b"boom", kind),
            ]

    go(work())
