"""What a policy does before it is trusted: the real engine over simulated traffic, and its costs.

Pure Python and numpy: no cluster, no metrics, no clock. Imports `sluice.engine`, `sluice.evidence`,
`sluice.api` and `sluice.errors`; the rules are those of the controller, not a copy of them.

- `files`: reads policies, ModelRollouts and scenarios
- `scenario`: what is true of the two sides, and when
- `traffic`: their requests, failures and latency buckets, many runs at a time
- `scenario_answers`, `answer_traffic`: the same of what models answer
- `small_world`: what Seldon makes of a plan
- `cohort`: many runs of one rollout, each decided by the engine
- `answer_cohort`: their checks of answers
- `bounds`, `bounds_answers`: the information limit of a schedule
- `serving`: what of a policy can be played
- `outcomes`: counts of outcomes with intervals
- `simulate`: scenarios -> results, over several processes
- `lint`: what is wrong with a policy; `cost`: what it takes in requests and minutes
"""
