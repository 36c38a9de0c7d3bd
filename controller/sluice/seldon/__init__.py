"""Between the decision and Seldon Core: read, render, patch, verify.

Pure below (`containers`, `canonical`, `revision`, `render`, `patch`, `routes`, `parse`, `verify`),
requests only in `read` and `write`, through a client that is handed in. May import engine, api,
errors and clock; the neighbours kube and metrics it must not.
"""
