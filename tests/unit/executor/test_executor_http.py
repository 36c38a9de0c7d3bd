"""Bodies, headers, status codes and counts of the executor's REST side, as recorded."""

import asyncio
import json

import pytest
from aiohttp import web
from executor_parts import CLIENT, FEEDBACK, PREDICT, SERVER, go, good, running

CORS = "Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, X-CSRF-Token"


async def raising(request):
    body = {"status": {"code": -1, "info": "boom", "reason": "X", "status": 1}}
    return web.json_response(body, status=500)


def test_an_answer_passes_unchanged_and_is_counted_on_both_sides():
    async def work():
        async with running(good) as pod:
            status, headers, body = await pod.predict(b'{"data":{"ndarray":[[1]]}}')
            assert (status, body) == (200, b'{"data":{"ndarray":[[1.0]]}}\n')
            assert pod.counted(SERVER) == {"200 post predictions": 1}
            assert pod.counted(CLIENT) == {"200 post /predict": 1}
            verb, path, _, sent = pod.seen[0]
            assert (verb, path, sent) == ("POST", "/predict", b'{"data":{"ndarray":[[1]]}}')
            headers.pop("Date")
            assert headers.pop("Seldon-Puid")
            assert headers == {
                "Access-Control-Allow-Headers": CORS,
                "Access-Control-Allow-Methods": "OPTIONS,POST",
                "Access-Control-Allow-Origin": "*",
                "Content-Type": "application/json",
                "X-Content-Type-Options": "nosniff",
                "Content-Length": str(len(body)),
            }

    go(work())


def test_a_model_that_raises_is_counted_on_both_sides_and_sent_as_text():
    async def work():
        async with running(raising) as pod:
            status, headers, body = await pod.predict()
            assert status == 500
            assert json.loads(body)["status"]["info"] == "boom"
            assert headers["Content-Type"] == "text/plain; charset=utf-8"
            assert pod.counted(SERVER) == {"500 post predictions": 1}
            assert pod.counted(CLIENT) == {"500 post /predict": 1}

    go(work())


def test_a_dead_model_is_counted_on_the_server_side_only():
    async def work():
        async with running(good) as pod:
            await pod.stop_model()
            status, headers, body = await pod.predict()
            failure = json.loads(body)["status"]
            assert status == failure["code"] == 500
            assert failure["status"] == "FAILURE"
            assert failure["info"].startswith('Post "http://localhost:')
            assert failure["info"].endswith(": connect: connection refused")
            assert headers["Content-Type"] == "text/plain; charset=utf-8"
            assert pod.counted(SERVER) == {"500 post predictions": 1}
            assert pod.counted(CLIENT) == {}

    go(work())


def test_a_model_that_takes_too_long_is_a_failure_of_the_executor():
    async def never(request):
        await asyncio.Event().wait()

    async def work():
        async with running(never, rest_timeout=0.05) as pod:
            status, _, body = await pod.predict()
            assert status == 500
            assert "context deadline exceeded" in json.loads(body)["status"]["info"]
            assert pod.counted(CLIENT) == {}

    go(work())


def test_a_bad_request_is_the_callers_and_not_the_models():
    async def bad(request):
        return web.json_response({"status": {"code": -1}}, status=400)

    async def work():
        async with running(bad) as pod:
            assert (await pod.predict(b"{not json"))[0] == 400
            assert pod.counted(SERVER) == {"400 post predictions": 1}

    go(work())


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics",
        "/metadata",
        "/api/v1.0/nothing",
        PREDICT + "/",
        "/seldon/prod/iris" + PREDICT,
    ],
)
def test_an_unknown_path_is_404_and_counted_nowhere(path):
    async def work():
        async with running(good) as pod:
            status, headers, body = await pod.ask("POST", path, b"{}")
            assert (status, body) == (404, b"404 page not found\n")
            assert headers["Content-Type"] == "text/plain; charset=utf-8"
            assert "Seldon-Puid" not in headers
            assert "seldon_" not in pod.metrics.text()
            assert pod.seen == []

    go(work())


def test_a_wrong_verb_is_405_without_a_body_and_counted_nowhere():
    async def work():
        async with running(good) as pod:
            status, headers, body = await pod.ask("GET", PREDICT)
            headers.pop("Date")
            assert (status, headers, body) == (405, {"Content-Length": "0"}, b"")
            assert "seldon_" not in pod.metrics.text()

    go(work())


def test_feedback_is_counted_as_feedback():
    async def work():
        async with running(good) as pod:
            await pod.ask("POST", FEEDBACK, b'{"reward":1}')
            assert pod.counted(SERVER) == {"200 post feedback": 1}
            assert pod.counted(CLIENT) == {"200 post /send-feedback": 1}

    go(work())


def test_the_old_path_is_served_and_counted_alike():
    async def work():
        async with running(good) as pod:
            assert (await pod.ask("POST", "/api/v0.1/predictions", b"{}"))[0] == 200
            assert pod.counted(SERVER) == {"200 post predictions": 1}

    go(work())


def test_a_preflight_is_answered_here_and_counted_nowhere():
    async def work():
        async with running(good) as pod:
            status, headers, _ = await pod.ask("OPTIONS", PREDICT)
            assert (status, headers["Access-Control-Allow-Methods"]) == (200, "OPTIONS,POST")
            assert "seldon_" not in pod.metrics.text()
            assert pod.seen == []

    go(work())


def test_the_callers_id_is_kept_and_a_missing_one_is_made_up():
    async def work():
        async with running(good) as pod:
            _, headers, _ = await pod.ask("POST", PREDICT, b"{}", **{"Seldon-Puid": "my-id-1"})
            assert headers["Seldon-Puid"] == "my-id-1"
            assert pod.seen[0][2]["Seldon-Puid"] == "my-id-1"
            _, first, _ = await pod.predict()
            _, second, _ = await pod.predict()
            assert first["Seldon-Puid"] != second["Seldon-Puid"]

    go(work())


def test_the_callers_content_type_reaches_the_model():
    async def work():
        async with running(good) as pod:
            await pod.ask("POST", PREDICT, b"hello", **{"Content-Type": "text/plain"})
            assert pod.seen[0][2]["Content-Type"] == "text/plain"

    go(work())


def test_readiness_follows_the_model_at_once_and_liveness_does_not():
    async def work():
        async with running(good) as pod:
            assert (await pod.ask("GET", "/ready"))[0] == 200
            await pod.stop_model()
            assert (await pod.ask("GET", "/ready"))[0] == 503
            assert (await pod.ask("GET", "/live"))[0] == 200
            assert "seldon_" not in pod.metrics.text()

    go(work())


def test_health_through_the_executor_does_not_call_the_model():
    async def work():
        async with running(good) as pod:
            status, _, body = await pod.ask("GET", "/api/v1.0/health/status")
            assert (status, body) == (200, b"")
            assert pod.counted(SERVER) == {"200 get status": 1}
            assert pod.counted(CLIENT) == {}

    go(work())


def test_graph_metadata_leaves_out_what_is_empty():
    async def metadata(request):
        return web.json_response(
            {"custom": {}, "inputs": [], "name": "n", "outputs": [], "platform": "", "versions": []}
        )

    async def work():
        async with running(metadata) as pod:
            _, _, body = await pod.ask("GET", "/api/v1.0/metadata")
            assert body == (
                b'{"name":"canary","models":{"model":{"name":"n","versions":[],"inputs":[],'
                b'"outputs":[]}},"graphinputs":[],"graphoutputs":[]}'
            )
            assert pod.counted(SERVER) == {"200 get metadata": 1}
            assert pod.counted(CLIENT) == {"200 get /metadata": 1}

    go(work())


def test_the_exposition_is_served_on_the_given_path_and_counts_itself_not():
    async def work():
        async with running(good) as pod:
            await pod.predict()
            status, headers, body = await pod.ask("GET", "/prometheus")
            assert status == 200
            assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert b"seldon_api_executor_server_requests_seconds_bucket{" in body
            assert pod.counted(SERVER) == {"200 post predictions": 1}

    go(work())


def test_many_callers_at_once_get_their_own_answers_and_all_are_counted():
    async def echo(request):
        body = await request.read()
        return web.Response(body=body, status=500 if int(body) % 5 == 0 else 200)

    async def work():
        async with running(echo) as pod:
            answers = await asyncio.gather(*(pod.predict(b"%d" % i) for i in range(200)))
            assert [int(body) for _, _, body in answers] == list(range(200))
            assert pod.counted(SERVER) == {"200 post predictions": 160, "500 post predictions": 40}
            assert pod.counted(CLIENT) == {"200 post /predict": 160, "500 post /predict": 40}

    go(work())


def test_connections_to_the_model_are_kept_open():
    async def work():
        async with running(good) as pod:
            for _ in range(20):
                await pod.predict()
            assert len(pod.connections) == 1

    go(work())


def test_a_model_that_hangs_up_in_the_middle_is_a_failure_without_a_client_count():
    async def hang_up(request):
        request.transport.close()
        return web.Response()

    async def work():
        async with running(hang_up) as pod:
            status, _, body = await pod.predict()
            assert status == 500
            assert json.loads(body)["status"]["status"] == "FAILURE"
            assert pod.counted(CLIENT) == {}

    go(work())


def test_a_body_of_several_megabytes_reaches_the_model():
    async def work():
        async with running(good) as pod:
            assert (await pod.predict(b"x" * 3_000_000))[0] == 200
            assert len(pod.seen[0][3]) == 3_000_000

    go(work())
