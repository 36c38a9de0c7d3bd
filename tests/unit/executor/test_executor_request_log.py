"""Bodies go to the logger's URL beside the request: what the real one's source says of it."""

import asyncio
import gzip
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from executor_parts import FEEDBACK, PREDICT, go, good, running, settings

from sluice.sandbox.executor.request_log import RequestLog
from sluice.sandbox.executor.settings import Logger, Unit
from sluice.sandbox.ports import free_port

BODY = b'{"data":{"ndarray":[[1]]}}'
JSON = {"Content-Type": "application/json"}


class Sink:
    """Takes events. While `open` is not set it answers nobody."""

    def __init__(self):
        self.events, self.open, self.status = [], asyncio.Event(), 200
        self.open.set()

    async def take(self, request):
        await self.open.wait()
        self.events.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status)

    async def until(self, count):
        while len(self.events) < count:
            await asyncio.sleep(0.005)

    def kinds(self):
        return sorted(headers["Ce-Type"].rpartition(".")[2] for headers, _ in self.events)


@asynccontextmanager
async def logging(mode, *, url=None, model=good, **changes):
    """A pod whose node logs to a sink."""
    sink = Sink()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", sink.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = url or f"http://127.0.0.1:{runner.addresses[0][1]}"

    def unit(port):
        return Unit("model", "repo/m", "1", "localhost", port, port, port, Logger(mode, url))

    try:
        async with running(model, with_unit=unit, **changes) as pod:
            yield pod, sink
    finally:
        sink.open.set()
        await runner.cleanup()


def test_a_request_is_sent_as_a_binary_cloud_event():
    async def work():
        async with logging("request") as (pod, sink):
            _, answered, _ = await pod.ask("POST", PREDICT, BODY, **JSON)
            await sink.until(1)
            [(headers, body)] = sink.events
            assert body == BODY
            assert headers["Content-Type"] == "application/json"
            named = {name: value for name, value in headers.items() if name.startswith("Ce-")}
            assert named.pop("Ce-Id")
            assert named.pop("Ce-Time").endswith("Z")
            assert named == {
                "Ce-Specversion": "1.0",
                "Ce-Type": "io.seldon.serving.inference.request",
                "Ce-Source": settings().source,
                "Ce-Modelid": "model",
                "Ce-Requestid": answered["Seldon-Puid"],
                "Ce-Inferenceservicename": "iris",
                "Ce-Namespace": "prod",
                "Ce-Endpoint": "canary",
            }

    go(work())


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("request", ["request"]),
        ("response", ["feedback", "response"]),
        ("all", ["feedback", "request", "response"]),
    ],
)
def test_the_mode_says_what_is_logged(mode, kinds):
    async def work():
        async with logging(mode) as (pod, sink):
            await pod.predict(BODY)
            await pod.ask("POST", FEEDBACK, b"{}", **JSON)
            await sink.until(len(kinds))
            assert sink.kinds() == kinds

    go(work())


def test_a_failed_request_is_logged_and_its_answer_is_not():
    async def raising(_):
        return web.Response(status=500, body=b"{}")

    async def work():
        async with logging("all", model=raising) as (pod, sink):
            await pod.predict(BODY)
            await pod.predict(BODY)
            await sink.until(2)
            assert sink.kinds() == ["request", "request"]

    go(work())


def test_a_packed_body_is_logged_unpacked_and_passed_on_as_it_is():
    async def work():
        async with logging("request") as (pod, sink):
            packed = {**JSON, "Content-Encoding": "gzip"}
            status, _, _ = await pod.ask("POST", PREDICT, gzip.compress(BODY), **packed)
            await sink.until(1)
            assert (status, [body for _, body in sink.events]) == (200, [BODY])
            # The made-up model unpacks by the header, so what it got was packed.
            assert [(body, headers["Content-Encoding"]) for *_, headers, body in pod.seen] == [
                (BODY, "gzip")
            ]

    go(work())


def test_a_body_that_cannot_be_unpacked_is_a_line():
    async def work():
        said = []
        unit = Unit("model", "m", "1", "localhost", 9, 9, 9, Logger("request", "http://sink"))
        log = RequestLog(settings(unit=unit), said.append)
        log.add("request", b"no gzip", "application/json", "p", "gzip")
        while not said:
            await asyncio.sleep(0.005)
        await log.close()
        assert said[0].startswith("Failed to send cloudevent log: http://sink: ")

    go(work())


def test_a_request_may_ask_not_to_be_logged():
    async def work():
        async with logging("all") as (pod, sink):
            await pod.ask("POST", PREDICT, b"1", **JSON, **{"Seldon-Skip-Logging": "true"})
            await pod.ask("POST", PREDICT, b"2", **JSON, **{"Seldon-Skip-Logging": "false"})
            await sink.until(2)
            assert b"1" not in [body for _, body in sink.events]

    go(work())


def test_nobody_at_the_sink_fails_no_request():
    async def work():
        nobody = f"http://127.0.0.1:{free_port()}"
        async with logging("request", url=nobody) as (pod, _):
            for _ in range(5):
                assert (await pod.predict(BODY))[0] == 200
            while len(pod.said) < 5:
                await asyncio.sleep(0.005)
            assert all(nobody in line for line in pod.said)

    go(work())


def test_a_sink_that_refuses_is_a_line_and_is_not_asked_again():
    async def work():
        async with logging("request") as (pod, sink):
            sink.status = 503
            await pod.predict(BODY)
            while not pod.said:
                await asyncio.sleep(0.005)
            assert "503" in pod.said[0]
            assert len(sink.events) == 1

    go(work())


def test_what_the_queue_has_no_room_for_is_dropped_and_requests_go_on():
    async def work():
        changes = {"log_queue": 3, "log_write_timeout": 0.0}
        async with logging("request", **changes) as (pod, sink):
            sink.open.clear()
            # Ten are with the workers, three wait, the rest has no place.
            for _ in range(20):
                assert (await pod.predict(BODY))[0] == 200
            while len(pod.said) < 7:
                await asyncio.sleep(0.005)
            assert len(pod.said) == 7
            assert all("buffer is full" in line for line in pod.said)
            sink.open.set()
            await sink.until(13)

    go(work())
