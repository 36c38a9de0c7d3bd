"""The policy that judges a rollout, asked of the API server."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from sluice.api.builtin import BALANCED, BUILTIN_POLICY_NAME
from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import CLUSTER_POLICY_KIND, RolloutSpec, parse_policy
from sluice.errors import ApiError, SpecError
from sluice.kube.client import Client
from sluice.resources import CANARY_POLICIES, CLUSTER_CANARY_POLICIES


def policy_of(client: Client, spec: RolloutSpec, namespace: str) -> tuple[CanaryPolicySpec, str]:
    """The policy with the rollout's own fields in place, and its name.

    Raises ApiError when it cannot be read, SpecError when it is invalid.
    """
    ref = spec.policy_ref
    if ref is None:
        return BALANCED.overridden(spec.strategy.canary), BUILTIN_POLICY_NAME
    if ref.kind == CLUSTER_POLICY_KIND:
        obj = client.get(CLUSTER_CANARY_POLICIES, ref.name)
    else:
        obj = client.get(CANARY_POLICIES, ref.name, namespace)
    return parse_policy(obj).overridden(spec.strategy.canary), f"{ref.kind}/{ref.name}"


def policy_for_view(client: Client, obj: dict[str, Any]) -> CanaryPolicySpec | None:
    """The policy for display; None where it cannot be had, since the rest is worth showing."""
    try:
        spec = RolloutSpec.model_validate(obj.get("spec") or {})
        return policy_of(client, spec, obj["metadata"]["namespace"])[0]
    except (ApiError, SpecError, ValidationError):
        return None
