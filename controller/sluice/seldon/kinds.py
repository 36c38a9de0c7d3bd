"""The kinds this layer asks for, shaped as the client wants them.

A twin of the constants in `sluice.kube.resources`: packages of one layer do not import each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Frozen = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """One namespaced kind at one version. `group` is "" for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As RBAC messages name it: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group_path(self) -> str:
        """Where the group's version is served."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(
        self, name: str | None = None, namespace: str | None = None, subresource: str | None = None
    ) -> str:
        """The path of an object, or of a collection without `name`."""
        path = self.group_path
        if self.namespaced and namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name:
            path += f"/{name}"
        return f"{path}/{subresource}" if subresource else path


SELDON_DEPLOYMENTS = Kind(
    "machinelearning.seldon.io", "v1", "seldondeployments", "SeldonDeployment"
)
VIRTUAL_SERVICES = Kind("networking.istio.io", "v1", "virtualservices", "VirtualService")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
PODS = Kind("", "v1", "pods", "Pod")
ACCESS_REVIEWS = Kind(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
)
