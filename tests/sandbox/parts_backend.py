"""A tiny HTTP server that stands in for a model server in the sandbox's own tests."""

from __future__ import annotations

import http.server
import os
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the pod's name; /metrics has one counter, /slow takes 0.1 s."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path == "/slow":  # long enough to be in flight when the pod is taken away
            time.sleep(0.1)
        body = f"{os.environ['HOSTNAME']}\n"
        if self.path == "/metrics":
            body = "# TYPE backend_up counter\nbackend_up_total 1\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        del args


http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
