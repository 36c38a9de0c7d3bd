"""A model behind a URL: bounded in time and size, cut when asked to, and nowhere else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from sluice.compare.reaching import path_of
from sluice.compare.url import MOST_BYTES, Url

BODY = '{"data": {"ndarray": [[1, 2]]}}'


@contextmanager
def serving(say: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads each request's head and then does what it is told."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                live, _ = server.accept()
                threading.Thread(target=one, args=(live,), daemon=True).start()

    def one(live: socket.socket) -> None:
        with live, suppress(OSError):
            while live.recv(65536):
                say(live)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()


def answered(body: bytes, head: bytes = b"HTTP/1.1 200 OK") -> Callable[[socket.socket], None]:
    length = b"\r\nContent-Length: " + str(len(body)).encode()
    return lambda live: live.sendall(head + length + b"\r\n\r\n" + body)


def test_an_answer_is_what_came() -> None:
    with serving(answered(b"{}")) as url:
        asked = Url(url, timeout=5, parallel=1)
        for _ in range(3):
            assert (asked.ask(BODY).code, asked.ask(BODY).body) == ("200", b"{}")


@pytest.mark.parametrize(
    ("headers", "sent"),
    [({}, b"Seldon-Skip-Logging: true"), ({"Seldon-Skip-Logging": "0"}, b"-Logging: 0")],
)
def test_seldons_request_logger_is_asked_to_leave_it_out(
    headers: dict[str, str], sent: bytes
) -> None:
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            live, _ = server.accept()
            with live:
                heads.append(live.recv(65536))
                answered(b"{}")(live)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert Url(url, timeout=5, parallel=1, headers=headers).ask(BODY).code == "200"
    assert sent in heads[0]


def test_a_redirect_is_not_followed() -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/elsewhere"
    with serving(answered(b"", head)) as url:
        assert Url(url, timeout=5, parallel=1).ask(BODY).code == "302"


def test_an_answer_without_end_is_cut_off() -> None:
    def endless(live: socket.socket) -> None:
        live.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            live.sendall(b" " * 65536)

    with serving(endless) as url:
        found = Url(url, timeout=5, parallel=1).ask(BODY)
    assert (found.ok, found.reached, found.body) == (False, True, b"")
    assert found.code == f"more than {MOST_BYTES >> 20} MiB"


def test_silence_is_a_timeout_of_the_model_and_a_closed_port_is_nobody() -> None:
    with serving(lambda _: None) as url:
        late = Url(url, timeout=0.05, parallel=1).ask(BODY)
    assert (late.code, late.reached) == ("timeout", True)
    nobody = Url("http://127.0.0.1:9", timeout=1, parallel=1).ask(BODY)
    assert (nobody.code, nobody.reached) == ("no connection", False)
    gone = Url("http://no-such-name.invalid", timeout=1, parallel=1).ask(BODY)
    assert (gone.code, gone.reached) == ("no connection", False)


def test_a_connection_that_ends_in_the_middle_says_nothing_of_the_model() -> None:
    def breaks(live: socket.socket) -> None:
        live.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        live.shutdown(socket.SHUT_RDWR)

    with serving(breaks) as url:
        assert not Url(url, timeout=5, parallel=1).ask(BODY).reached


@pytest.mark.parametrize("head", [b"", b"\r\nContent-Length: 1000000"])
def test_closed_it_cuts_what_drips_and_asks_no_more(head: bytes) -> None:
    dripping = threading.Event()

    def drip(live: socket.socket) -> None:
        live.sendall(b"HTTP/1.1 200 OK" + head + b"\r\n\r\n")
        for drop in range(100_000):
            live.sendall(b" ")
            if drop == 20:  # so that it is surely being read
                dripping.set()
            threading.Event().wait(0.01)

    with serving(drip) as url:
        asked = Url(url, timeout=60, parallel=1)
        found = []
        thread = threading.Thread(target=lambda: found.append(asked.ask(BODY)), daemon=True)
        thread.start()
        assert dripping.wait(20)
        asked.close()
        thread.join(20)
        assert not thread.is_alive()
        assert not asked.ask(BODY).reached


@pytest.mark.parametrize("outside", [False, True])
def test_a_services_name_may_not_lead_to_the_machine_itself(outside: bool) -> None:
    asked = []

    def noted(live: socket.socket) -> None:
        asked.append(1)
        answered(b"{}")(live)

    with serving(noted) as url:
        found = Url(url, timeout=5, parallel=1, outside=outside).ask(BODY)
    assert found.reached is not outside
    assert bool(asked) is not outside, "nothing is sent there"


@pytest.mark.parametrize(
    ("protocol", "path"),
    [
        ("", "/api/v1.0/predictions"),
        ("seldon", "/api/v1.0/predictions"),
        ("v2", "/v2/models/m/infer"),
        ("kfserving", "/v2/models/m/infer"),
        ("tensorflow", "/v1/models/m:predict"),
    ],
)
def test_the_path_is_the_protocols(protocol: str, path: str) -> None:
    assert path_of(protocol, {"graph": {"name": "m"}}) == path
    assert Url("http://a:8000", timeout=1, parallel=1, path=path).where == f"http://a:8000{path}"
