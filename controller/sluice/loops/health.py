"""/healthz, /readyz and /metrics over plain HTTP, for kubelet and Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from sluice.errors import UsageError

# A client that connects and says nothing must not hold a thread for ever. Seconds.
_REQUEST_TIMEOUT = 10.0


class HealthServer:
    """Serves until `stop`. `live` and `ready` return "" or what is wrong.

    `listen` is HOST:PORT; an empty host means all addresses, port 0 any free one. Raises UsageError
    if it is no such thing, or if nobody can listen there.
    """

    def __init__(
        self,
        listen: str,
        registry: CollectorRegistry,
        live: Callable[[], str],
        ready: Callable[[], str],
    ) -> None:
        probes = {"/healthz": live, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            timeout = _REQUEST_TIMEOUT

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
                elif self.path in probes:
                    problem = probes[self.path]()
                    code = 503 if problem else 200
                    self._answer(code, (problem or "ok").encode() + b"\n", "text/plain")
                else:
                    self._answer(404, b"try /healthz, /readyz or /metrics\n", "text/plain")

            def _answer(self, code: int, body: bytes, kind: str) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes every few seconds would drown the log."""

        self._server = _listening(listen, Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()


def host_and_port(listen: str) -> tuple[str, int]:
    """The parts of HOST:PORT. Raises UsageError."""
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--http-address {listen}: expected HOST:PORT, such as 0.0.0.0:8080")
    return host or "0.0.0.0", int(port)  # noqa: S104


def _listening(listen: str, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(host_and_port(listen), handler)
    except OSError as error:
        raise UsageError(
            f"--http-address {listen}: cannot listen there ({error.strerror or error}); choose "
            "another port, or end what uses it"
        ) from error
