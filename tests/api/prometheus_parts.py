"""A real Prometheus of a test's own, and a server for it to scrape."""

from __future__ import annotations

import socket
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from waiting import until

from sluice.sandbox import parts

DEADLINE = 300.0


class TextServer:
    """Serves what `text` returns at any path, on a free port, while the context is open."""

    def __init__(self, text: Callable[[], str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> TextServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class RealPrometheus:
    """A process that keeps its port and data over a stop."""

    def __init__(self, directory: Path, exporter_port: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        job = {
            "job_name": "pods",
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{exporter_port}"]}],
        }
        times = {"scrape_interval": "300ms", "scrape_timeout": "300ms"}
        config = {"global": times, "scrape_configs": [job]}
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                str(parts.locate("prometheus")),
                f"--config.file={self.directory / 'prometheus.yaml'}",
                f"--storage.tsdb.path={self.directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=error",
            ],
            start_new_session=True,
        )
        until(self._ready, "Prometheus answers")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(DEADLINE)
            self.process = None
