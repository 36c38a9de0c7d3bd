"""`sluice version`: this command's, the API server's, and the controller's."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from sluice._version import __version__
from sluice.api.base import API_VERSION
from sluice.cli.options import Context, Kubeconfig, Output, OutputOption, connect
from sluice.cli.output import print_data
from sluice.errors import ApiError, SluiceError
from sluice.kube.client import Client
from sluice.kube.transport import Timeout
from sluice.resources import DEPLOYMENTS, MODEL_ROLLOUTS

_TIMEOUT = Timeout(2.0, 4.0)
_CONTROLLER_LABELS = "app.kubernetes.io/name=sluice"
_NOT_SEEN = "not seen"


def version(
    client_only: Annotated[
        bool, typer.Option("--client", help="Only this command's version; asks no server.")
    ] = False,
    output: OutputOption = Output.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the versions of the command and, where they can be reached, of server and controller.

    An unreachable server is no error.
    """
    found: dict[str, Any] = {"client": {"version": __version__, "api": API_VERSION}}
    if not client_only:
        try:
            client, _ = connect(kubeconfig, context, None)
            found |= _remote(client.with_timeout(_TIMEOUT))
        except SluiceError as error:
            found["problem"] = str(error)
    if output is Output.TABLE:
        sys.stdout.write("\n".join(_lines(found)) + "\n")
    else:
        print_data(found, output)


def _remote(client: Client) -> dict[str, Any]:
    answer = client.request("get", "/version")
    found: dict[str, Any] = {
        "server": {
            "url": client.server,
            "version": answer.get("gitVersion", ""),
            "servesModelRollouts": client.serves(MODEL_ROLLOUTS),
        }
    }
    try:
        deployments = client.list(DEPLOYMENTS, label_selector=_CONTROLLER_LABELS).items
    except ApiError as error:
        return {**found, "controllerProblem": str(error)}
    return {**found, "controllers": [_controller(deployment) for deployment in deployments]}


def _controller(deployment: dict[str, Any]) -> dict[str, Any]:
    meta, pod = deployment["metadata"], deployment["spec"]["template"]["spec"]
    labels = meta.get("labels") or {}
    images = [container.get("image", "") for container in pod.get("containers") or []]
    return {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "version": labels.get("app.kubernetes.io/version") or _tag(images[0] if images else ""),
        "images": images,
        "ready": (deployment.get("status") or {}).get("readyReplicas", 0),
    }


def _tag(image: str) -> str:
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2]


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"sluice {__version__}"]
    if server := found.get("server"):
        served = "" if server["servesModelRollouts"] else ", without the CRDs of Sluice"
        lines.append(f"server {server['version'] or _NOT_SEEN} ({server['url']}{served})")
    if (controllers := found.get("controllers")) is not None:
        lines += [
            f"controller {one['version'] or _NOT_SEEN} "
            f"({one['namespace']}/{one['name']}, {one['ready']} ready)"
            for one in controllers
        ] or [f"controller {_NOT_SEEN}: no Deployment with the label {_CONTROLLER_LABELS}"]
    for problem in ("problem", "controllerProblem"):
        if problem in found:
            what = "server" if problem == "problem" else "controller"
            lines.append(f"{what} {_NOT_SEEN}: {found[problem]}")
    return lines
