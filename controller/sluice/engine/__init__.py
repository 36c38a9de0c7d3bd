"""The decision, pure: `decide(rollout, policy, world, checks, now) -> Decision`.

No client, no clock, no logger in here. Imports `sluice.evidence`, `sluice.api`, `sluice.errors`.
"""
