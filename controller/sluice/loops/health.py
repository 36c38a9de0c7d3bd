"""/healthz, /readyz and /metrics over plain HTTP, for kubelet and Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

# A client that connects and says nothing must not hold a thread for ever. Seconds.
_REQUEST_TIMEOUT = 10.0


class HealthServer:
    """Serves until `stop`. `live` and `ready` return "" or what is wrong."""

    def __init__(
        self,
        listen: str,
        registry: CollectorRegistry,
        live: Callable[[], str],
        ready: Callable[[], str],
    ) -> None:
        host, _, port = listen.rpartition(":")
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

        self._server = ThreadingHTTPServer((host or "0.0.0.0", int(port)), Handler)  # noqa: S104
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
