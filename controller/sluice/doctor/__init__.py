"""`sluice doctor`: what keeps Sluice from working in a cluster, and the command that helps.

One module per group of checks. A check is a function over what was read that returns findings; it
changes nothing in the cluster. May import seldon, metrics, kube, engine, evidence, api, errors and
clock; not loops, not cli.
"""
