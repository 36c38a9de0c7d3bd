"""What a policy would have decided over metrics that were recorded.

The counting is that of `sluice.metrics`, the evidence of `sluice.evidence`, the judging the pulse
loop's and the decisions the engine's; here is only what feeds them from the past. Imports
`sluice.loops`, `sluice.simulation`, `sluice.report` and below; not kube, not seldon.

- `recording`: counters on a grid of moments, and how the observer asks them
- `asking`, `times`: from what was typed to a recording and the two sides
- `reading`: Prometheus -> recording, in ranges; which predictors there are
- `dump`: the file form of a recording
- `traffic`: what both sides did and answered, whatever a policy says
- `play`: one policy over a recording
- `result`: what came of it, as data and as text
- `plot`, `page`: the same as a picture, and as one HTML file
"""
