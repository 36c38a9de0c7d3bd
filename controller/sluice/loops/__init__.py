"""The wiring: reconcile loop, pulse loop, leadership, health and Sluice's own metrics.

May import everything below it (seldon, metrics, kube, engine, evidence, api), never cli or sandbox.
"""
