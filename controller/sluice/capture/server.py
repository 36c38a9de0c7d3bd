"""The HTTP side: events at any path by POST, /healthz, /readyz and /metrics by GET.

An event that was understood is answered with 202, kept or not: the executor would write a line into
the model's log for each that is not. It sends each once, so what is not taken is lost, and that is
all. Bounded: connections, bodies, and how long a silent client is waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from sluice.capture.collecting import Collecting, Outcome
from sluice.capture.events import NotAnEvent, read_event
from sluice.errors import UsageError

MOST_CONNECTIONS = 256
# Longer than Go's HTTP client keeps an idle connection (90 s), so that it is the one to close.
_IDLE_SECONDS = 120.0
# A body above what is kept is read to its end and forgotten, up to here; then the connection ends.
_MOST_SWALLOWED = 64 * 1024 * 1024
_CHUNK = 64 * 1024
# How long `stop` waits at most for the one that accepts connections.
_POLL_SECONDS = 0.05


class CaptureServer:
    """Serves until `stop`. `told` is called with the outcome of every event.

    `listen` is HOST:PORT; port 0 is any free one. Raises UsageError.
    """

    def __init__(
        self,
        listen: str,
        collecting: Collecting,
        registry: CollectorRegistry,
        told: Callable[[Outcome], None],
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = _IDLE_SECONDS
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if not length.isascii() or not length.isdigit():
                    self.close_connection = True
                    told(collecting.note(Outcome.NO_EVENT))
                    self._answer(411, "expected a Content-Length\n")
                    return
                body = self._body(int(length))
                try:
                    event = read_event(self.headers)  # type: ignore[arg-type]
                except NotAnEvent as error:
                    told(collecting.note(Outcome.NO_EVENT))
                    self._answer(400, f"{error}\n")
                    return
                told(collecting.take(event, body))
                self._answer(202, "")

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, generate_latest(registry).decode(), CONTENT_TYPE_LATEST)
                elif self.path in ("/healthz", "/readyz"):
                    self._answer(200, "ok\n")
                else:
                    self._answer(404, "events come by POST; try /healthz, /readyz or /metrics\n")

            def _body(self, length: int) -> bytes | None:
                if length <= collecting.largest:
                    return self.rfile.read(length)
                left = min(length, _MOST_SWALLOWED)
                self.close_connection = length > _MOST_SWALLOWED
                while left:
                    got = self.rfile.read(min(left, _CHUNK))
                    if not got:
                        break
                    left -= len(got)
                return None

            def _answer(self, code: int, text: str, kind: str = "text/plain") -> None:
                body = text.encode()
                self.send_response(code)
                if body:
                    self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """A line a request would drown the log, and its path is a stranger's text."""

        self._server = _listening(listen, Handler)
        self.port: int = self._server.server_address[1]
        self._serving = False

    def start(self) -> None:
        """Serve in threads."""
        self._serving = True
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="capture", daemon=True
        ).start()

    def stop(self) -> None:
        """Take nothing more, and free the port."""
        if self._serving:
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes is its own affair, and a trace could show what it sent."""


def _listening(listen: str, handler: type[BaseHTTPRequestHandler]) -> _Server:
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--listen {listen}: expected HOST:PORT, such as 0.0.0.0:8080")
    try:
        return _Server((host or "0.0.0.0", int(port)), handler)  # noqa: S104
    except OSError as error:
        raise UsageError(
            f"--listen {listen}: cannot listen there ({error.strerror or error}); choose another "
            "port, or end what uses it"
        ) from error
