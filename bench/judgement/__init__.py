"""What the rules of several tools decide over the same simulated traffic.

`python -m bench.judgement` writes docs/benchmarks/judgement.md and its plots.

- `cells`: the situations, and what is true in each
- `traffic`: their requests, failures and latency buckets, many runs at a time
- `peers`: the rules of other tools, written anew from their documentation
- `ours`: Sluice's evidence and its rule, the shipped code
- `figures`: rates with intervals, limits, and the page
- `plots`: its pictures
"""
