"""What the monitors after promotion say over simulated traffic, beside other tools' detectors.

`python -m bench.drift` writes docs/benchmarks/drift.md. May import `sluice.evidence` alone.

- `traffic`: requests in bins, stationary or moved
- `ours`: the shipped monitors in every cell
- `canary`: a candidate's predictions and slices beside the stable's
- `detectors`: river's and frouros' detectors, run in an environment of their own by `peers`
- `page`: the figures as a page
"""
