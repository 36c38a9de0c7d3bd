"""Flags and ENGINE_PREDICTOR are read as the operator writes them."""

import base64

import pytest
from executor_parts import encoded_predictor

from sluice.errors import UsageError
from sluice.sandbox.executor import settings
from sluice.sandbox.operator import settings as operator_settings
from sluice.sandbox.operator.layout import layouts
from sluice.sandbox.operator.pods import engine_predictor

# The container's args as the operator writes them.
ARGS = [
    "--sdep", "iris", "--namespace", "prod", "--predictor", "main", "--http_port", "8000",
    "--grpc_port", "5001", "--protocol", "seldon", "--transport", "rest",
    "--prometheus_path", "/prometheus", "--server_type", "rpc",
    "--log_work_buffer_size", "10000", "--log_write_timeout_ms", "2000",
    "--full_health_checks=false",
]  # fmt: skip


def read(environment=None, **predictor):
    return settings.read(
        ARGS, {"ENGINE_PREDICTOR": encoded_predictor(**predictor)} | (environment or {})
    )


def test_what_the_operator_writes_is_understood():
    found = read()
    assert (found.deployment, found.namespace, found.predictor) == ("iris", "prod", "main")
    assert (found.http_port, found.grpc_port, found.metrics_path) == (8000, 5001, "/prometheus")
    unit = found.unit
    assert (unit.name, unit.service_port, unit.http_port, unit.grpc_port) == (
        "model", 9000, 9000, 9500,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("image", "name", "version"),
    [
        ("repo/m:1", "repo/m", "1"),
        ("registry:5000/iris:1.2", "registry:5000/iris", "1.2"),
        ("registry:5000/iris", "registry:5000/iris", ""),
        ("iris", "iris", ""),
    ],
)
def test_the_tag_becomes_the_model_version(image, name, version):
    assert settings.split_image(image) == (name, version)


def test_the_image_is_the_one_of_the_container_named_like_the_graph_node():
    assert read().unit.image == "registry:5000/iris"
    assert read().unit.image_version == "1.2"


def test_localhost_is_the_pods_own_address():
    found = read({"SLUICE_POD_IP": "127.70.0.3"})
    assert (found.bind_host, found.model_host) == ("127.70.0.3", "127.70.0.3")
    assert read().model_host == "127.0.0.1"


def test_timeouts_come_from_the_pods_annotations(tmp_path):
    (tmp_path / "annotations").write_text(
        'seldon.io/rest-timeout="1500"\nseldon.io/grpc-timeout="250"\n'
    )
    found = read({"SLUICE_PODINFO": str(tmp_path)})
    assert (found.rest_timeout, found.grpc_timeout) == (1.5, 0.25)


def test_without_annotations_a_call_still_ends_some_day():
    assert 0 < read().rest_timeout <= 300


@pytest.mark.parametrize(
    "predictor", ["", "not base64!", base64.b64encode(b"[]").decode(), "bm90IGpzb24="]
)
def test_an_unreadable_predictor_is_named_as_such(predictor):
    with pytest.raises(UsageError, match="ENGINE_PREDICTOR"):
        settings.read(ARGS, {"ENGINE_PREDICTOR": predictor})


def test_a_graph_of_several_nodes_is_refused():
    graph = {"name": "router", "type": "ROUTER", "children": [{"name": "a"}, {"name": "b"}]}
    with pytest.raises(UsageError, match="router of type ROUTER with 2 children"):
        read(graph=graph)


def test_a_logger_without_a_url_has_the_operators_default():
    graph = {"name": "model", "logger": {"mode": "all"}}
    sink = {"REQUEST_LOGGER_DEFAULT_ENDPOINT": "http://default-broker"}
    assert read(sink, graph=graph).unit.logger == settings.Logger("all", "http://default-broker")
    graph["logger"]["url"] = "http://capture:8080"
    assert read(sink, graph=graph).unit.logger.url == "http://capture:8080"
    assert read(sink).unit.logger is None


def test_the_operators_stand_in_passes_the_logger_on():
    node = {"name": "model", "type": "MODEL", "logger": {"mode": "request"}}
    pod = {"containers": [{"name": "model", "image": "repo/m:1"}]}
    predictor = {"name": "main", "graph": node, "componentSpecs": [{"spec": pod}]}
    sdep = {
        "metadata": {"name": "iris", "namespace": "prod"},
        "spec": {"predictors": [predictor]},
    }
    operator = operator_settings.Settings()
    [layout] = layouts(sdep, operator)
    told = {
        "ENGINE_PREDICTOR": engine_predictor(layout, operator),
        "REQUEST_LOGGER_DEFAULT_ENDPOINT": operator.request_logger,
    }
    found = settings.read(ARGS, told)
    assert found.unit.logger == settings.Logger("request", "http://default-broker")


def test_the_logs_queue_and_its_source_are_what_the_flags_say():
    found = read()
    assert (found.log_queue, found.log_write_timeout) == (10_000, 2.0)
    assert found.source == "http://localhost:8000/"
    assert read({"POD_NAME": "iris-0"}).source == "http://iris-0:8000/"
