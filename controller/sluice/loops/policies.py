"""Which policy judges a rollout: its own, a (Cluster)CanaryPolicy, or one that is built in."""

from __future__ import annotations

from collections.abc import Callable

from sluice.api.builtin import DEFAULT_POLICY, LIBRARY, built_in
from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import CLUSTER_POLICY_KIND, Rollout, parse_policy
from sluice.errors import SpecError
from sluice.loops.stores import Object, Store


class Policies:
    """The policies known to the API server, and those that are built in.

    `default` is the ClusterCanaryPolicy of rollouts that name none. `cluster_problem` says why
    ClusterCanaryPolicies cannot be read, "" when they can.
    """

    def __init__(
        self,
        namespaced: Store,
        cluster: Store,
        *,
        default: str = DEFAULT_POLICY,
        cluster_problem: Callable[[], str] = str,
    ) -> None:
        self._namespaced = namespaced
        self._cluster = cluster
        self._default = default
        self._cluster_problem = cluster_problem
        self._last: dict[str, tuple[CanaryPolicySpec, str]] = {}
        # The newest parsed version of each, by (namespace, name): many rollouts share a policy.
        self._parsed: dict[tuple[str, str], tuple[str, CanaryPolicySpec]] = {}

    def version(self, rollout: Object) -> str:
        """The resourceVersion of the policy that a ModelRollout names; "" without one."""
        ref = rollout["spec"].get("policyRef") or {}
        in_cluster = ref.get("kind", CLUSTER_POLICY_KIND) == CLUSTER_POLICY_KIND
        store = self._cluster if in_cluster else self._namespaced
        namespace = "" if in_cluster else rollout["metadata"].get("namespace", "")
        obj = store.get(namespace, ref.get("name", "") or self._default)
        return str(obj["metadata"].get("resourceVersion", "")) if obj else ""

    def of(self, rollout: Rollout) -> tuple[CanaryPolicySpec, str]:
        """The policy in force, and its name. SpecError: PolicyNotFound or InvalidPolicy.

        A rollout in progress goes on under the policy it had when that is deleted or broken: a
        candidate under traffic is not left unwatched.
        """
        try:
            found = self._find(rollout)
        except SpecError:
            last = self._last.get(rollout.key)
            if last is None or not rollout.status.phase.active:
                raise
            return last
        self._last[rollout.key] = found
        return found

    def forget(self, key: str) -> None:
        """The rollout is gone."""
        self._last.pop(key, None)

    def _find(self, rollout: Rollout) -> tuple[CanaryPolicySpec, str]:
        overrides = rollout.spec.strategy.overrides
        ref = rollout.spec.policy_ref
        kind, name = (ref.kind, ref.name) if ref else (CLUSTER_POLICY_KIND, self._default)
        in_cluster = kind == CLUSTER_POLICY_KIND
        if ref is None and name == DEFAULT_POLICY:
            return LIBRARY[name].overridden(overrides), built_in(name)
        if in_cluster and ref and (problem := self._cluster_problem()):
            raise SpecError(
                "PolicyNotReadable",
                f"spec.policyRef: this controller is confined to namespaces and may not read "
                f"ClusterCanaryPolicies, so {name!r} is not known to it; name a CanaryPolicy of "
                f"namespace {rollout.namespace}, leave policyRef out, or give it the role "
                f"(rbac.clusterPolicies of the chart): {problem}",
            )
        store = self._cluster if in_cluster else self._namespaced
        obj = store.get("" if in_cluster else rollout.namespace, name)
        if obj is not None:
            return self._parse(obj).overridden(overrides), f"{kind}/{name}"
        if in_cluster and name in LIBRARY:
            return LIBRARY[name].overridden(overrides), built_in(name)
        where = "the cluster" if in_cluster else f"namespace {rollout.namespace}"
        whose = "spec.policyRef" if ref else "--default-policy of the controller"
        raise SpecError(
            "PolicyNotFound",
            f"{whose}: there is no {kind} {name!r} in {where}; apply it, or "
            f"leave policyRef out to use the default one ({', '.join(LIBRARY)} are built in)",
        )

    def _parse(self, obj: Object) -> CanaryPolicySpec:
        meta = obj["metadata"]
        place, version = (meta.get("namespace", ""), meta["name"]), meta.get("resourceVersion")
        known = self._parsed.get(place)
        if known is not None and version and known[0] == version:
            return known[1]
        spec = parse_policy(obj)
        if version:
            self._parsed[place] = (version, spec)
        return spec
