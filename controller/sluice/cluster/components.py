"""Command lines and configuration files of the node's components. Pure but for writing files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from sluice.cluster import control_groups, registry
from sluice.cluster.pki import Pki
from sluice.cluster.place import API_PORT, NodePlace, Place
from sluice.sandbox.processes import write_atomically

SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "sluice.dev/pause:1"
# Without a name server a look-up goes to loopback, where nobody listens.
_NO_RESOLVER = "options attempts:1 timeout:1\n"
_ETCD = "http://127.0.0.1:2379"

Json = dict[str, Any]


def told_init(node: NodePlace) -> Json:
    """What the first process (init.py) is told."""
    root = node.root
    return {
        "ready": str(root / "ready"),
        "node_name": node.name,
        "link": node.link,
        "address": node.address,
        "gateway": node.gateway,
        "directories": {str(root / "var-log"): "/var/log"},
        # Nothing outside is asked: an image that is not here is "not found" at once.
        "own_files": str(root / "files"),
        "files": {"/etc/resolv.conf": _NO_RESOLVER},
        "settings_directory": str(root / "settings"),
        # The values that the kubelet wants to see (--protect-kernel-defaults checks the same).
        "look_alikes": {
            "vm/overcommit_memory": 1,
            "vm/panic_on_oom": 0,
            "kernel/panic": 10,
            "kernel/panic_on_oops": 1,
            "kernel/keys/root_maxkeys": 1000000,
            "kernel/keys/root_maxbytes": 25000000,
        },
        # These belong to the network namespace, so to this node alone.
        "own": {
            "net/ipv4/ip_forward": 1,
            "net/bridge/bridge-nf-call-iptables": 1,
        },
    }


def etcd(place: Place, binary: Path) -> list[str]:
    """etcd for one test cluster: nothing is synced to the disk."""
    return [
        str(binary),
        f"--data-dir={place.root / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(place: Place, binary: Path, pki: Pki) -> list[str]:
    """The API server, with the node authorizer and RBAC, as kubeadm starts it."""
    private, public = pki.service_accounts
    authority = pki.authority.certificate_file
    return [
        str(binary),
        f"--etcd-servers={_ETCD}",
        f"--secure-port={API_PORT}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={place.node(0).address}",
        f"--tls-cert-file={pki.api_server.certificate_file}",
        f"--tls-private-key-file={pki.api_server.key_file}",
        f"--client-ca-file={authority}",
        f"--kubelet-client-certificate={pki.api_server_to_kubelet.certificate_file}",
        f"--kubelet-client-key={pki.api_server_to_kubelet.key_file}",
        f"--kubelet-certificate-authority={authority}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-signing-key-file={private}",
        f"--service-account-key-file={public}",
        f"--service-cluster-ip-range={place.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--requestheader-client-ca-file={authority}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki.front_proxy.certificate_file}",
        f"--proxy-client-key-file={pki.front_proxy.key_file}",
        "--enable-aggregator-routing=true",
        "--profiling=false",
        "--v=1",
    ]


def controller_manager(place: Place, binary: Path, pki: Pki) -> list[str]:
    """All of its controllers; the higher rates keep a small cluster from waiting for its client."""
    config = pki.kubeconfig("controller-manager")
    return [
        str(binary),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki.service_accounts[0]}",
        f"--root-ca-file={pki.authority.certificate_file}",
        f"--cluster-signing-cert-file={pki.authority.certificate_file}",
        f"--cluster-signing-key-file={pki.authority.key_file}",
        "--allocate-node-cidrs=false",
        f"--flex-volume-plugin-dir={place.root / 'flex'}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        # A test of an autoscaler need not wait minutes.
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=15s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
        "--profiling=false",
        "--v=1",
    ]


def scheduler(binary: Path, pki: Pki) -> list[str]:
    """The scheduler."""
    config = pki.kubeconfig("scheduler")
    return [
        str(binary),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--v=1",
    ]


def kubelet(node: NodePlace, binary: Path, pki: Pki) -> list[str]:
    """The kubelet; writes its configuration file."""
    path = node.root / "kubelet.yaml"
    _write(path, _kubelet_configuration(node, pki))
    return [
        str(binary),
        f"--config={path}",
        f"--kubeconfig={pki.kubeconfig(node.name)}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--root-dir={node.root / 'kubelet'}",
        "--v=1",
    ]


def _kubelet_configuration(node: NodePlace, pki: Pki) -> Json:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki.authority.certificate_file)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki.kubelets[node.index].certificate_file),
        "tlsPrivateKeyFile": str(pki.kubelets[node.index].key_file),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.control_group}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "clusterDNS": [node.cluster.dns_service],
        "clusterDomain": "cluster.local",
        "resolvConf": "/etc/resolv.conf",
        "podLogsDir": str(node.root / "pod-logs"),
        "volumePluginDir": str(node.root / "volume-plugins"),
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "maxPods": 60,
        "serializeImagePulls": False,
        # The disk is the machine's, not the node's: its filling up is nobody's pod's fault.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def proxy(node: NodePlace, binary: Path, pki: Pki) -> list[str]:
    """kube-proxy with nftables; writes its configuration file."""
    path = node.root / "proxy.yaml"
    configuration: Json = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(pki.kubeconfig("proxy"))},
        "hostnameOverride": node.name,
        "clusterCIDR": node.cluster.pods,
        "bindAddress": node.address,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # Those of the machine are left alone.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "nftables": {"minSyncPeriod": "100ms"},
    }
    _write(path, configuration)
    return [str(binary), f"--config={path}", "--v=1"]


def containerd(node: NodePlace, root: Path) -> list[str]:
    """containerd from the Debian packages below `root`; writes its files."""
    directory = node.root / "cni"
    directory.mkdir(parents=True, exist_ok=True)
    bridge: Json = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods0",
                "isDefaultGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{"subnet": node.pods}]],
                },
            }
        ],
    }
    write_atomically(directory / "10-pods.conflist", json.dumps(bridge), mode=0o644)
    path = node.root / "containerd.toml"
    write_atomically(path, _containerd_configuration(node, root, directory), mode=0o644)
    return [str(root / "usr/bin/containerd"), f"--config={path}"]


def _containerd_configuration(node: NodePlace, root: Path, cni: Path) -> str:
    unused = ", ".join(
        f'"io.containerd.snapshotter.v1.{name}"' for name in ("aufs", "btrfs", "devmapper", "zfs")
    )
    hugetlb = "" if control_groups.unified() else "  disable_hugetlb_controller = true\n"
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{node.root / "containerd"}"
state = "/run/containerd"
disabled_plugins = [{unused}, "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "{SOCKET}"

[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
{hugetlb}  stream_server_address = "127.0.0.1"

[{cri}.cni]
  bin_dir = "{root / "usr/lib/cni"}"
  conf_dir = "{cni}"
  max_conf_num = 1

[{cri}.registry]
  config_path = "{registry.hosts_directory(node)}"

[{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
  BinaryName = "{root / "usr/sbin/runc"}"
"""


def _write(path: Path, configuration: Json) -> None:
    write_atomically(path, yaml.safe_dump(configuration, sort_keys=False), mode=0o644)
