"""Addresses, certificates, images and manifests of the cluster tier, without starting anything."""

from __future__ import annotations

import ipaddress
import json
import ssl
import tarfile
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from sluice.cluster import components, place, platform, scratch
from sluice.cluster.pki import Pki
from sluice.cluster.place import Place
from sluice.errors import SandboxError
from sluice.sandbox.certificates import self_signed

NAMES = (f"{platform.OPERATOR_IMAGE}:1", f"{platform.EXECUTOR_IMAGE}:1")


def test_no_two_clusters_and_no_two_nodes_share_an_address(tmp_path: Path) -> None:
    networks = []
    for number in (0, 1, place.MOST - 1):
        one = Place(tmp_path, number)
        networks += [ipaddress.ip_network(n) for n in (one.pods, one.services, one.links)]
        nodes = [one.node(index) for index in range(place.MOST_NODES)]
        pods = [ipaddress.ip_network(node.pods) for node in nodes]
        assert all(pod.subnet_of(ipaddress.ip_network(one.pods)) for pod in pods)
        assert not any(a.overlaps(b) for a in pods for b in pods if a is not b)
        addresses = [a for node in nodes for a in (node.address, node.gateway)]
        assert len(set(addresses)) == len(addresses)
        for node in nodes:
            link = ipaddress.ip_network(f"{node.address}/30", strict=False)
            assert ipaddress.ip_address(node.gateway) in link
    assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)


def test_names_of_interfaces_fit_the_kernel_s_fifteen_characters(tmp_path: Path) -> None:
    node = Place(tmp_path, place.MOST - 1).node(place.MOST_NODES - 1)
    assert max(len(node.link), len(node.other_link)) <= 15
    assert node.link != node.other_link


def test_a_number_is_given_once_and_again_when_its_owner_has_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(place, "MOST", 2)
    first, handle = place.claim(tmp_path / "a")
    second, other = place.claim(tmp_path / "b")
    assert (first.number, second.number) == (0, 1)
    with pytest.raises(SandboxError, match="2 clusters are up"):
        place.claim(tmp_path / "c")
    handle.close()
    third, again = place.claim(tmp_path / "c")
    assert third.number == 0
    other.close()
    again.close()


def test_the_api_server_s_certificate_is_valid_under_all_its_names_and_keys_are_private(
    tmp_path: Path,
) -> None:
    one = Place(tmp_path, 3)
    pki = Pki(one, nodes=2)
    certificate = x509.load_pem_x509_certificate(pki.api_server.pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(a) for a in names.get_values_for_type(x509.IPAddress)}
    assert {"127.0.0.1", one.node(0).address, one.api_service} <= addresses
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)
    authority = x509.load_pem_x509_certificate(pki.authority.pem.encode())
    certificate.verify_directly_issued_by(authority)
    assert {path.stat().st_mode & 0o777 for path in one.pki.glob("*.key")} == {0o600}
    config = yaml.safe_load(pki.kubeconfig("node-1").read_text())
    client = Path(config["users"][0]["user"]["client-certificate"]).read_bytes()
    subject = x509.load_pem_x509_certificate(client).subject.rfc4514_string()
    assert subject == "CN=system:node:node-1,O=system:nodes"


def test_a_server_can_use_what_self_signed_writes(tmp_path: Path) -> None:
    made = self_signed(tmp_path, ("webhook.seldon-system.svc",))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.certificate_file, made.key_file)
    names = x509.load_pem_x509_certificate(made.pem.encode()).extensions
    hosts = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert hosts.get_values_for_type(x509.DNSName) == ["webhook.seldon-system.svc"]


def test_an_image_of_one_binary_runs_it_as_nobody_and_is_the_same_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_CACHE", str(tmp_path / "cache"))
    binary = tmp_path / "tool"
    binary.write_text("#!/bin/true\n")
    images = [scratch.Image("sluice.dev/tool:1", binary)]
    path = scratch.archive(images)
    once = path.read_bytes()
    path.unlink()
    assert scratch.archive(images).read_bytes() == once
    with tarfile.open(path) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        config = json.load(archive.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        with tarfile.open(fileobj=archive.extractfile(manifest["Layers"][0])) as layer:
            assert layer.getmember("tool").mode == 0o755
    assert manifest["RepoTags"] == ["sluice.dev/tool:1"]
    assert config["config"]["Entrypoint"] == ["/tool"]
    assert config["config"]["User"] == "65532:65532"


def test_a_dynamic_binary_brings_its_libraries() -> None:
    assert any("libc.so" in path.name for path in scratch.libraries(Path("/bin/sh").resolve()))


def test_the_platform_runs_restricted_and_never_pulls() -> None:
    text = platform.manifests("10.0.0.10", NAMES, scrape_seconds=1)
    objects = [obj for obj in yaml.safe_load_all(text) if obj]
    deployments = [obj for obj in objects if obj["kind"] == "Deployment"]
    assert {d["metadata"]["name"] for d in deployments} == set(platform.DEPLOYMENTS)
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert container["imagePullPolicy"] == "Never"


def test_a_user_s_cluster_keeps_its_own_names_and_resource_metrics() -> None:
    text = platform.manifests("", NAMES, scrape_seconds=1, whole_node=False)
    names = {o["metadata"]["name"] for o in yaml.safe_load_all(text) if o}
    assert "coredns" not in names
    assert "metrics-server" not in names
    assert "istiod" in names


def test_the_kubelet_s_settings_of_the_machine_are_look_alikes(tmp_path: Path) -> None:
    told = components.told_init(Place(tmp_path, 0).node(0))
    assert all(name.startswith("net/") for name in told["own"]), "only the node's own are written"
    assert not any(name.startswith("net/") for name in told["look_alikes"])
