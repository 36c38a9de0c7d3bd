"""Stands for Seldon's Go service orchestrator (executor) 1.17.1 in a pod of the sandbox.

One asyncio process per pod between the gateway and the model server: REST on port 8000, gRPC on
5001, `/ready`, `/live`, and the `seldon_api_executor_*` metrics at `/prometheus`. It answers,
counts and fails as the real one was recorded to (docs/executor-stand-in.md says what that is, and
what is knowingly left out: graphs of more than one node, tracing, SSL, Kafka).

`python -m sluice.sandbox.executor` takes the flags and the environment the operator gives the real
one. Nothing else of Sluice is imported at run time, so that a pod starts quickly.
"""
