"""`python -m sluice.sandbox.operator`: runs the stand-in until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import logging
import signal
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from sluice.clock import SystemClock
from sluice.kube.client import Client

from .running import Operator
from .settings import Settings
from .webhook import Service, Webhook

# Six watches, one worker, one writer of Events, and some to spare.
_CONNECTIONS = 12
_log = logging.getLogger("sluice.sandbox.operator")


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line, runs, and returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    client = Client.connect(
        kubeconfig=options.kubeconfig,
        user_agent="seldon-operator-stand-in",
        connections=_CONNECTIONS,
    )
    with tempfile.TemporaryDirectory(prefix="sluice-operator-") as scratch:
        webhook = None
        if options.webhook_port is not None:
            directory = Path(options.webhook_cert_dir or scratch)
            webhook = Webhook(options.webhook_port, directory, _service(options.webhook_service))
            webhook.register(client)
            _log.info("webhook registered at %s", webhook.url)
        settings = Settings()
        if options.engine_image:
            settings = replace(settings, engine_image=options.engine_image)
        operator = Operator(client, SystemClock(), settings)
        operator.start()
        _log.info("ready")
        if options.ready_file:
            Path(options.ready_file).write_text(webhook.url if webhook else "")
        stop.wait()
        operator.stop()
        if webhook is not None:
            webhook.close()
    return 0


def _service(name: str | None) -> Service | None:
    if name is None:
        return None
    namespace, _, own = name.partition("/")
    return Service(namespace, own)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sluice.sandbox.operator",
        description="A stand-in for the Seldon Core 1.17.1 operator.",
    )
    parser.add_argument("--kubeconfig", help="kubeconfig of the API server (default: the pod's)")
    parser.add_argument(
        "--webhook-port",
        type=int,
        help="serve and register the validating webhook on this loopback port (0: any free one)",
    )
    parser.add_argument(
        "--webhook-service", metavar="NAMESPACE/NAME", help="in a pod: the Service in front of it"
    )
    parser.add_argument("--engine-image", help="the image of the executor")
    parser.add_argument(
        "--webhook-cert-dir", help="where its key and certificate go (default: a temporary one)"
    )
    parser.add_argument("--ready-file", help="written, with the webhook's URL, once all is watched")
    parser.add_argument("--verbose", action="store_true", help="log every pass")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
