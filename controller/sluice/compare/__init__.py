"""Two versions of a model, asked the same: do they answer alike?

- `answers`: one HTTP answer as a schema and values, whatever kind of Seldon message it is
- `pairs`: two answers to one request, and in what they differ
- `checks`: one verdict on a share, and its words
- `classes`: the same for every class that the stable predicts
- `exact`: the interval of a share that is not known better than its sample
- `totals`: all pairs together, with the verdict
- `result`: what came of it, as data and as text
- `lines`: the requests, of a file or of a ConfigMap
- `asking`: sending them to both
- `url`, `reaching`: the ways to a model (the only parts that touch the network)

Imports `sluice.kube`, `sluice.seldon` and below.
"""
