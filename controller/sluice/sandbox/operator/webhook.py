"""The validating webhook: an HTTPS server in the operator's own process, and its registration.

It is registered with failurePolicy Fail, as the shipped chart does. So while the operator is down
every write of a SeldonDeployment is refused (HTTP 500 at once), and while it hangs likewise, after
ten seconds.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sluice.errors import NotFoundError
from sluice.kube.client import Client
from sluice.sandbox.certificates import LOOPBACK, Certificate, self_signed

from .admission import admit
from .settings import Json

NAME = "v1.vseldondeployment.kb.io"
CONFIGURATION = "seldon-validating-webhook-configuration"
PATH = "/validate-machinelearning-seldon-io-v1-seldondeployment"
_COLLECTION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_SOCKET_SECONDS = 30.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(address, _Handler)
        self._context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        # The handshake belongs to the connection's own thread, not to the one that accepts.
        secured = self._context.wrap_socket(request, server_side=True)
        super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A broken connection is the caller's business; the log stays readable."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SOCKET_SECONDS

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        body = json.dumps(answer(review)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: one line per request would drown the operator's own."""


def answer(review: Json) -> Json:
    """The AdmissionReview that answers `review`."""
    request = review["request"]
    refusal = admit(request.get("oldObject"), request["object"])
    response: Json = {"uid": request["uid"], "allowed": refusal is None}
    if refusal is not None:
        status: Json = {"code": refusal.code, "message": refusal.message}
        if refusal.reason:
            status["reason"] = refusal.reason
        response["status"] = status
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


@dataclass(frozen=True)
class Service:
    """The Service in front of an operator that runs in a pod."""

    namespace: str
    name: str
    port: int = 443

    @property
    def host(self) -> str:
        return f"{self.name}.{self.namespace}.svc"


class Webhook:
    """Serves from construction until `close`. `port` 0 takes any free one.

    On loopback, or on all addresses of the pod behind `service`.
    """

    def __init__(self, port: int, directory: Path, service: Service | None = None) -> None:
        self._service = service
        hosts = (service.host,) if service else LOOPBACK
        self._certificate: Certificate = self_signed(directory, hosts)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate.certificate_file, self._certificate.key_file)
        address = "0.0.0.0" if service else "127.0.0.1"  # noqa: S104 - the pod's own
        self._server = _Server((address, port), context)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="webhook", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def _where(self) -> Json:
        if self._service is None:
            return {"url": self.url}
        where = {"namespace": self._service.namespace, "name": self._service.name}
        return {"service": {**where, "port": self._service.port, "path": PATH}}

    def configuration(self) -> Json:
        """The registration object."""
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": CONFIGURATION},
            "webhooks": [
                {
                    "name": NAME,
                    "clientConfig": {
                        **self._where(),
                        "caBundle": base64.b64encode(self._certificate.pem.encode()).decode(),
                    },
                    "rules": [
                        {
                            "apiGroups": ["machinelearning.seldon.io"],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["seldondeployments"],
                        }
                    ],
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 10,
                }
            ],
        }

    def register(self, client: Client) -> None:
        """Creates the registration, or points an older one at this process."""
        wanted = self.configuration()
        try:
            client.request(
                "PATCH",
                f"{_COLLECTION}/{CONFIGURATION}",
                {"webhooks": wanted["webhooks"]},
                content_type="application/merge-patch+json",
            )
        except NotFoundError:
            client.request("POST", _COLLECTION, wanted)


def unregister(client: Client) -> None:
    """Takes the registration away: from then on anything passes."""
    try:
        client.request("DELETE", f"{_COLLECTION}/{CONFIGURATION}")
    except NotFoundError:
        return
