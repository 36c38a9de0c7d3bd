"""Makes gRPC calls described in JSON: lines on standard input, answers on standard output.

Runs in the model servers' environment, which has Seldon's message types. A line is
{"target", "method", "request"}, an answer {"code", "details", "response", "initial", "trailing"}.
"""

# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

import json
import sys
from typing import Any

import grpc
from google.protobuf import json_format
from seldon_core.proto import prediction_pb2

REQUESTS = {
    "Predict": prediction_pb2.SeldonMessage,
    "SendFeedback": prediction_pb2.Feedback,
}


def call(channel: Any, method: str, request: dict[str, Any]) -> dict[str, Any]:
    message = json_format.ParseDict(request, REQUESTS[method.rsplit("/", 1)[1]]())
    stub = channel.unary_unary(
        method,
        request_serializer=lambda value: value.SerializeToString(),
        response_deserializer=prediction_pb2.SeldonMessage.FromString,
    )
    try:
        answer, state = stub.with_call(message, timeout=20)
    except grpc.RpcError as error:
        return {
            "code": error.code().name,
            "details": error.details(),
            "initial": [list(pair) for pair in error.initial_metadata() or ()],
            "trailing": [list(pair) for pair in error.trailing_metadata() or ()],
        }
    return {
        "code": "OK",
        "response": json_format.MessageToDict(answer),
        "initial": [list(pair) for pair in state.initial_metadata() or ()],
        "trailing": [list(pair) for pair in state.trailing_metadata() or ()],
    }


channels: dict[str, Any] = {}
for line in sys.stdin:
    asked = json.loads(line)
    channel = channels.setdefault(asked["target"], grpc.insecure_channel(asked["target"]))
    sys.stdout.write(json.dumps(call(channel, asked["method"], asked["request"])) + "\n")
    sys.stdout.flush()
