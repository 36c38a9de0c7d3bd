"""Two versions of a model, asked the same: do they answer alike?

- `answers`: one HTTP answer as a schema and values, whatever kind of Seldon message it is
- `pairs`: two answers to one request, and in what they differ
- `exact`: the interval of a share that is not known better than its sample
- `totals`: all pairs together, with the verdict
- `result`: what came of it, as data and as text
- `asking`: a file of requests, and sending them to both (the only part that touches the network)

Imports `sluice.errors` and below only.
"""
