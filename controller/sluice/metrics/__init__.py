"""Prometheus -> observations. May import evidence, api, errors and clock; not kube, not seldon.

client asks Prometheus; dialects know what the metrics are called; source reads all rollouts at
once; counting turns counters into increments; observe pairs them for the evidence.
"""
