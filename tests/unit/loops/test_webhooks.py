"""Webhooks are asked beside the workers: once, signed, bounded, and never where they must not."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from sluice.api.gates import Webhook
from sluice.engine.facts import Question
from sluice.errors import WebhookDeniedError, WebhookError
from sluice.loops.posting import LONGEST_ANSWER, HostRules, HttpPost, Reply
from sluice.loops.webhooks import Webhooks, signature, understood
from sluice.sandbox.certificates import Certificate, self_signed
from sluice.testing.clock import ManualClock

KEY = "prod/iris"


def question(attempt: int = 1, *, identity: str = "q1", **more: Any) -> Question:
    fields = {"name": "ask", "at": "BeforeStart", "url": "https://gate.test/x", **more}
    return Question(identity, attempt, Webhook.model_validate(fields), {"revision": "bbbb"})


class Receiver:
    """Answers as it was told, the last answer for ever."""

    def __init__(self, *replies: Reply | Exception) -> None:
        self.replies = list(replies) or [Reply(200, b"")]
        self.got: list[tuple[str, bytes, dict[str, str], float]] = []

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
        self.got.append((url, body, dict(headers), timeout))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


class Desk:
    """Webhooks without threads: `work` does what the threads would."""

    def __init__(self, *replies: Reply | Exception, keys: dict[str, Path] | None = None) -> None:
        self.receiver = Receiver(*replies)
        self.clock = ManualClock()
        self.woken: list[str] = []
        self.webhooks = Webhooks(
            post=self.receiver, clock=self.clock, wake=self.woken.append, keys=keys
        )

    def work(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        while (key := self.webhooks._queue.get(timeout=0)) is not None:
            self.webhooks.one(key)
            self.webhooks._queue.done(key)


def test_an_answer_wakes_the_rollout_and_is_kept_until_it_is_written_down() -> None:
    desk = Desk(Reply(200, b'{"message": "go"}'))
    desk.webhooks.ask(KEY, [question()])
    desk.work()
    assert desk.woken == [KEY]
    answer = desk.webhooks.answers(KEY)["q1"]
    assert (answer.allowed, answer.message, answer.attempt) == (True, "go", 1)
    desk.webhooks.written_down(KEY, {"q1": 0})
    assert "q1" in desk.webhooks.answers(KEY)
    desk.webhooks.written_down(KEY, {"q1": 1})
    assert desk.webhooks.answers(KEY) == {}


def test_the_same_question_is_asked_once_however_often_it_is_handed_in() -> None:
    desk = Desk()
    for _ in range(3):
        desk.webhooks.ask(KEY, [question()])
    desk.work()
    desk.webhooks.ask(KEY, [question()])  # the status that has the answer is not written yet
    desk.work()
    assert len(desk.receiver.got) == 1
    desk.webhooks.ask(KEY, [question(attempt=2)])
    desk.work()
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in desk.receiver.got]
    assert keys == ["q1-1", "q1-2"]


def test_no_answer_is_tried_again_with_the_same_key_and_then_given_up() -> None:
    desk = Desk(Reply(503, b""), WebhookError("no answer from gate.test within 10s"))
    desk.webhooks.ask(KEY, [question(retries=2)])
    desk.work()
    assert desk.woken == []
    for _ in range(3):
        desk.work(10)
    assert {headers["Idempotency-Key"] for _, _, headers, _ in desk.receiver.got} == {"q1-1"}
    assert len(desk.receiver.got) == 3
    answer = desk.webhooks.answers(KEY)["q1"]
    assert (answer.allowed, answer.answered) == (False, False)
    assert answer.message == "no answer from gate.test within 10s (3 tries)"


def test_what_is_not_allowed_is_not_tried_again() -> None:
    desk = Desk(WebhookDeniedError("the host is not allowed"))
    desk.webhooks.ask(KEY, [question()])
    for _ in range(5):
        desk.work(10)
    assert len(desk.receiver.got) == 1
    assert not desk.webhooks.answers(KEY)["q1"].answered


def test_a_question_taken_back_is_not_tried_again() -> None:
    desk = Desk(Reply(500, b""))
    desk.webhooks.ask(KEY, [question()])
    desk.work()
    desk.webhooks.ask(KEY, [])
    desk.work(60)
    assert len(desk.receiver.got) == 1
    assert desk.webhooks.answers(KEY) == {}


def test_requests_are_signed_with_the_key_as_it_is_in_the_file_now(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("old\n")
    desk = Desk(keys={"ours": key})
    desk.webhooks.ask(KEY, [question(key="ours")])
    key.write_text("new\n")
    desk.work()
    _, body, headers, _ = desk.receiver.got[0]
    moment = int(desk.clock.now())
    digest = hmac.new(b"new", f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["Sluice-Signature"] == f"t={moment},v1={digest}"
    assert json.loads(body) == {"revision": "bbbb"}


def test_the_signature_is_as_documented() -> None:
    """A fixed example, as docs/gates.md has it for receivers."""
    found = signature(b"secret", b'{"a":1}', 1700000000)
    digest = hmac.new(b"secret", b'1700000000.{"a":1}', hashlib.sha256).hexdigest()
    assert found == f"t=1700000000,v1={digest}"


def test_a_key_the_controller_does_not_have_sends_nothing() -> None:
    desk = Desk()
    desk.webhooks.ask(KEY, [question(key="theirs")])
    desk.work()
    assert desk.receiver.got == []
    assert "--webhook-key-file" in desk.webhooks.answers(KEY)["q1"].message


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(200, b""), (True, "it answered 200")),
        (Reply(204, b"not json"), (True, "it answered 204")),
        (Reply(200, b"[1]"), (True, "it answered 200")),
        (Reply(200, b'{"allow": true, "message": "fine"}'), (True, "fine")),
        (Reply(200, b'{"allow": false, "message": "frozen"}'), (False, "frozen")),
        (Reply(200, b'{"allow": false}'), (False, "it says no")),
        (Reply(403, b'{"allow": false, "message": "no"}'), (False, "no")),
    ],
)
def test_what_an_answer_means(reply: Reply, expected: tuple[bool, str]) -> None:
    assert understood(reply) == expected


@pytest.mark.parametrize("status", [301, 302, 400, 404, 500])
def test_anything_but_2xx_is_no_answer(status: int) -> None:
    with pytest.raises(WebhookError, match=str(status)):
        understood(Reply(status, b""))


def test_what_a_receiver_says_is_cut_and_cannot_break_a_line() -> None:
    desk = Desk(Reply(200, json.dumps({"allow": False, "message": "a\x1b[31m\n" * 200}).encode()))
    desk.webhooks.ask(KEY, [question()])
    desk.work()
    message = desk.webhooks.answers(KEY)["q1"].message
    assert len(message) <= 300
    assert message.isprintable()


# -- which hosts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "scheme", "host", "allowed"),
    [
        ((), "http", "gate.ns.svc", True),
        ((), "http", "gate.ns.svc.cluster.local", True),
        ((), "https", "gate.example.com", True),
        ((), "http", "gate.example.com", False),
        ((), "http", "metadata", False),
        ((), "https", "localhost", False),
        ((), "https", "10.0.0.1", False),
        ((), "https", "169.254.169.254", False),
        ((), "https", "::1", False),
        ((), "file", "gate.ns.svc", False),
        (("*.example.com",), "http", "gate.example.com", True),
        (("*.example.com",), "https", "example.com.evil.test", False),
        (("*.example.com",), "http", "gate.ns.svc", False),
        (("*",), "https", "127.0.0.1", False),
        (("127.0.0.1",), "http", "127.0.0.1", True),
    ],
)
def test_hosts(patterns: tuple[str, ...], scheme: str, host: str, allowed: bool) -> None:
    rules = HostRules(patterns)
    if allowed:
        rules.check(scheme, host)
    else:
        with pytest.raises(WebhookDeniedError):
            rules.check(scheme, host)


@pytest.mark.parametrize(
    "found",
    [
        *("127.0.0.1", "::1", "0.0.0.0", "fe80::1%eth0", "::ffff:169.254.1.1"),
        *("169.254.169.254", "fd00:ec2::254", "100.100.100.200"),
    ],
)
def test_a_name_that_points_inside_is_refused(found: str) -> None:
    with pytest.raises(WebhookDeniedError, match="points at"):
        HostRules(("*",)).check_address("gate.example.com", found)


# -- over a socket --------------------------------------------------------------------------------


@contextmanager
def serving(
    answer: Any, tls: Certificate | None = None
) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server on loopback; `answer(handler)` replies."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((dict(self.headers), body))
            with suppress(OSError):
                answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate_file, tls.key_file)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


POST = HttpPost(HostRules(["127.0.0.1"]))


def test_a_request_and_its_answer() -> None:
    with serving(lambda h: reply(h, 200, b'{"allow": true}')) as (url, got):
        found = POST(f"{url}/x?t=1", b"{}", {"Idempotency-Key": "k"}, 5.0)
    assert found == Reply(200, b'{"allow": true}')
    headers, body = got[0]
    assert (headers["Idempotency-Key"], body) == ("k", b"{}")


def test_a_redirect_is_not_followed() -> None:
    with (
        serving(lambda h: reply(h, 200, b"")) as (inside, reached),
        serving(lambda h: reply(h, 307, b"", Location=inside)) as (url, _),
    ):
        assert POST(url, b"{}", {}, 5.0).status == 307
    assert reached == []


def test_an_endless_answer_is_cut() -> None:
    with serving(lambda h: reply(h, 200, b"x" * (LONGEST_ANSWER * 3))) as (url, _):
        found = POST(url, b"{}", {}, 5.0)
    assert len(found.body) == LONGEST_ANSWER
    assert found.truncated


def test_a_peer_that_drips_is_cut_when_the_whole_timeout_is_over() -> None:
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.02):
            handler.wfile.write(b"X-More: y\r\n")
            if handler.wfile.closed:
                return

    with serving(drip) as (url, _):
        with pytest.raises(WebhookError, match=r"no answer from 127.0.0.1 within 0.3s"):
            POST(url, b"{}", {}, 0.3)
        stop.set()


def test_by_https_the_certificate_is_checked(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    trusting = HttpPost(HostRules(["127.0.0.1"]), ca_file=str(certificate.certificate_file))
    with serving(lambda h: reply(h, 204, b""), certificate) as (url, got):
        assert trusting(f"{url}/x", b"{}", {}, 5.0).status == 204
        with pytest.raises(WebhookError, match="certificate is not valid"):
            POST(f"{url}/x", b"{}", {}, 5.0)
    assert len(got) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_peer_that_says_nothing_is_cut(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(WebhookError, match=r"no answer from 127\.0\.0\.1 within 0\.2s"):
            POST(url, b"{}", {}, 0.2)


def test_nobody_there_says_so_without_the_path_or_the_query() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(WebhookError, match=r"no answer from 127\.0\.0\.1") as raised:
            POST(f"http://127.0.0.1:{port}/hook?token=hush", b"{}", {}, 1.0)
    assert "hush" not in str(raised.value)
