"""Prometheus -> observations. May import evidence, api, errors and clock; not kube, not seldon.

client asks Prometheus; dialects (istio is one of them) know what the metrics are called, outcomes
what an answer says about the model, queries has the PromQL they share; source reads all rollouts at
once; counting turns counters into increments; observe pairs them for the evidence.
"""
