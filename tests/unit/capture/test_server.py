"""The HTTP side, whatever is sent to it."""

from __future__ import annotations

import socket
import threading

import pytest
import structlog

from sluice.capture import server
from sluice.capture.collecting import Outcome
from sluice.errors import UsageError

from .conftest import HEADERS, Make, body


def raw(port: int, sent: bytes) -> bytes:
    """What comes back, up to the connection's end."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as live:
        live.sendall(sent)
        live.shutdown(socket.SHUT_WR)
        found = b""
        while got := live.recv(65536):
            found += got
        return found


def test_events_are_accepted_without_a_body_in_the_answer(make: Make) -> None:
    taking = make(serve=True)
    assert taking.post(body(1)) == (202, b"")
    assert taking.run.server.port > 0
    assert taking.collecting.snapshot().seen == 1


def test_many_events_come_over_one_connection(make: Make) -> None:
    taking = make(serve=True)
    lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    one = f"POST /any HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 8\r\n\r\n".encode()
    said = raw(taking.run.server.port, (one + b'{"a": 1}') * 20)
    assert said.count(b"HTTP/1.1 202") == 20
    assert taking.collecting.snapshot().seen == 20


def test_what_is_not_kept_is_accepted_too_so_that_the_models_log_stays_quiet(make: Make) -> None:
    taking = make(serve=True)
    assert taking.post(b"no json")[0] == 202
    assert taking.post(b"x" * 1001)[0] == 202
    assert taking.post(b"x" * 5_000_000)[0] == 202
    response = {**HEADERS, "Ce-Type": "io.seldon.serving.inference.response"}
    assert taking.post(body(1), response)[0] == 202
    assert taking.count(Outcome.NOT_JSON) == 1
    assert taking.count(Outcome.TOO_LARGE) == 2
    assert taking.count(Outcome.RESPONSE) == 1
    assert taking.collecting.snapshot().bodies == []


def test_what_is_no_event_is_refused(make: Make) -> None:
    taking = make(serve=True)
    status, said = taking.post(body(1), {})
    assert (status, b"graph.logger.url" in said) == (400, True)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nCe-Type: x\r\n"
    port = taking.run.server.port
    assert b"HTTP/1.1 411" in raw(port, head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert b"HTTP/1.1 411" in raw(port, head + b"Content-Length: -1\r\n\r\n")
    assert b"HTTP/1.1 411" in raw(port, head + "Content-Length: ²\r\n\r\n".encode())
    assert b"501" in raw(port, b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"400" in raw(port, b"nonsense\r\n\r\n")
    assert taking.count(Outcome.NO_EVENT) == 4
    assert taking.post(body(1))[0] == 202


def test_a_body_that_breaks_off_is_not_kept(make: Make) -> None:
    taking = make(serve=True)
    lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    head = f"POST / HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 500\r\n\r\n".encode()
    raw(taking.run.server.port, head + b'{"data": ')
    assert taking.count(Outcome.NOT_JSON) == 1


def test_health_and_metrics(make: Make) -> None:
    taking = make(serve=True)
    taking.post(body(1))
    taking.post(b"x")
    assert taking.get("/healthz") == (200, "ok\n")
    assert taking.get("/readyz")[0] == 200
    assert taking.get("/")[0] == 404
    status, text = taking.get("/metrics")
    assert status == 200
    assert 'sluice_capture_events_total{outcome="kept"} 1.0' in text
    assert 'sluice_capture_events_total{outcome="not_json"} 1.0' in text
    assert 'sluice_capture_events_total{outcome="too_large"} 0.0' in text


def test_no_body_and_no_strangers_text_is_ever_logged(
    make: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    taking = make(serve=True)
    secret = b"4111-1111"
    with structlog.testing.capture_logs() as logged:
        taking.post(b'{"card": "4111-1111"}')
        taking.post(b"4111-1111 no json")
        taking.post(b'{"card": "4111-1111", "x": NaN}')
        taking.post(b'{"card": "4111-1111"}' + b" " * 2000)
        taking.post(b"4111-1111", {})
        raw(taking.run.server.port, b"GET /4111-1111 HTTP/1.1\r\nHost: x\r\n\r\n")
        taking.run.write()
    assert secret.decode() not in str(logged)
    assert len(logged) >= 4
    out, err = capfd.readouterr()
    assert secret.decode() not in out + err


def test_connections_are_bounded_and_freed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    taking = make(serve=True)
    port = taking.run.server.port
    held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]
    ended = threading.Event()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as third:
        assert third.recv(1) == b"", "it is closed at once"
    for one in held:
        one.close()
    while not ended.is_set():
        try:
            if taking.post(body(1))[0] == 202:
                ended.set()
        except OSError:
            continue  # the two are about to be freed
    assert taking.collecting.snapshot().seen == 1


@pytest.mark.parametrize("listen", ["8080", "x:y", "127.0.0.1:99999", ""])
def test_a_wrong_address_is_wrong_usage(listen: str, make: Make) -> None:
    held = make().collecting
    with pytest.raises(UsageError, match="--listen"):
        server.CaptureServer(listen, held, make().run.metrics.registry, lambda _: None)


def test_a_taken_port_is_named(make: Make) -> None:
    taking = make()
    taken = f"127.0.0.1:{taking.run.server.port}"
    with pytest.raises(UsageError, match=f"--listen {taken}: cannot listen there"):
        server.CaptureServer(taken, taking.collecting, taking.run.metrics.registry, lambda _: None)
