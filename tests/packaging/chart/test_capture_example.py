"""docs/examples/capture.yaml: a real API server takes it, and it is what its comments promise."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from sluice._version import __version__
from sluice.cli.main import app
from sluice.errors import ForbiddenError
from sluice.resources import PODS
from tests.packaging.chart.conftest import Shop
from tests.packaging.chart.rendering import ROOT, objects, one

EXAMPLE = ROOT / "docs" / "examples" / "capture.yaml"
TEXT = EXAMPLE.read_text()
RESTRICTED = "capture-restricted"


def container() -> dict[str, Any]:
    [found] = one(objects(TEXT), "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_api_server_takes_every_object(shared: Shop) -> None:
    shared.namespace("prod")
    args = ("--server-side", "--dry-run=server", "--validate=strict")
    said = shared.kubectl("apply", *args, "-f", str(EXAMPLE))
    assert said.count("serverside-applied") == len(objects(TEXT)) == 7


def test_the_pod_is_let_into_a_restricted_namespace(shared: Shop) -> None:
    shared.namespace(RESTRICTED, **{"pod-security.kubernetes.io/enforce": "restricted"})
    spec = dict(one(objects(TEXT), "Deployment")["spec"]["template"]["spec"])
    spec |= {"serviceAccountName": "default", "automountServiceAccountToken": False}
    pod = {"metadata": {"name": "x"}, "spec": spec}
    shared.client.create(PODS, pod, RESTRICTED, dry_run=True)
    del spec["securityContext"]["runAsNonRoot"]
    with pytest.raises(ForbiddenError, match="violates PodSecurity"):
        shared.client.create(PODS, pod, RESTRICTED, dry_run=True)


def test_its_image_and_its_command_are_those_of_this_version() -> None:
    assert container()["image"] == f"sluice-controller:{__version__}"
    command = typer.main.get_command(app)
    name, *words = container()["args"]
    capture = command.get_command(None, name)  # type: ignore[attr-defined]
    given = capture.make_context(name, list(words)).params
    assert (given["deployment"], given["namespace"]) == ("iris", "prod")
    assert given["lasting"] == 86400.0
    assert f"until\n        # the new one has {given['at_least']} requests" in TEXT


def test_names_labels_and_ports_fit_together() -> None:
    found = objects(TEXT)
    deployment, service = one(found, "Deployment"), one(found, "Service")
    policy, role = one(found, "NetworkPolicy"), one(found, "Role")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    [port] = service["spec"]["ports"]
    name, space = service["metadata"]["name"], service["metadata"]["namespace"]
    assert f"http://{name}.{space}.svc:{port['port']}" in TEXT
    [rule] = role["rules"]
    assert rule["resourceNames"] == [one(found, "ConfigMap")["metadata"]["name"]]
    assert f"--config-map={rule['resourceNames'][0]}" in container()["args"]
