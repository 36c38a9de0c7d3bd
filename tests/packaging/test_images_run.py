"""The images run as a strict cluster runs them: not as root, nothing writable, no capability."""

from __future__ import annotations

import json

import pytest

from sluice._version import __version__
from sluice.packaging import IMAGES

CONTROLLER = IMAGES["sluice-controller"].reference
MODELS = [
    image.reference for image in IMAGES.values() if image.name.startswith("sluice.dev/models/iris-")
]
STAND_INS = [image.reference for image in IMAGES.values() if image.name.endswith("-stand-in")]

PREDICT = """
import json, os, subprocess, sys, time, urllib.request

server = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
deadline = time.monotonic() + 600
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1:9000/health/status", timeout=60).read()
        break
    except OSError:
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the server did not come up: {server.poll()}")
        time.sleep(0.1)
request = urllib.request.Request(
    "http://127.0.0.1:9000/api/v1.0/predictions",
    json.dumps({"data": {"ndarray": [[5.1, 3.5, 1.4, 0.2]]}}).encode(),
    {"Content-Type": "application/json"},
)
print(urllib.request.urlopen(request).read().decode(), flush=True)
os._exit(0)  # the container's first process: its end is the server's too
"""


def test_the_controller_starts_without_a_shell_anywhere(runner):
    answer = runner.run(CONTROLLER, ["version"], shell=False)
    assert answer.returncode == 0, answer.stderr
    assert __version__ in answer.stdout


def test_without_a_shell_means_that_none_can_be_started(runner):
    answer = runner.run_command(CONTROLLER, ["/bin/sh", "-c", "true"], shell=False)
    assert answer.returncode != 0


def test_the_controller_says_what_it_lacks_when_there_is_no_cluster(runner):
    answer = runner.run(CONTROLLER, ["controller", "--prometheus-url=http://127.0.0.1:1"])
    assert answer.returncode == 2
    assert "no kubeconfig found" in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr


@pytest.mark.parametrize("name", [name for name in MODELS if "crashing" not in name])
def test_a_model_predicts(runner, name):
    entry = runner.config(name)["Entrypoint"]
    answer = runner.run_command(name, ["/opt/seldon/bin/python", "-c", PREDICT, *entry])
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)["data"]["ndarray"][0]) == 3


def test_the_crashing_model_ends_because_its_model_is_missing(runner):
    (name,) = (name for name in MODELS if "crashing" in name)
    answer = runner.run(name, [])
    assert answer.returncode != 0
    assert "model-that-was-never-added.json" in answer.stdout + answer.stderr


@pytest.mark.parametrize("name", MODELS)
def test_seldons_wait_before_stopping_finds_its_shell_and_sleep(runner, name):
    answer = runner.run_command(name, ["/bin/sh", "-c", "/bin/sleep 0"])
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_starts_from_its_arguments_alone(runner, name):
    answer = runner.run(name, ["--help"], shell=False)
    assert answer.returncode == 0, answer.stderr
    assert "usage" in answer.stdout.lower()


@pytest.mark.parametrize("name", [CONTROLLER, *MODELS, *STAND_INS])
def test_nothing_can_be_written_outside_of_tmp_and_nobody_is_root(runner, name):
    script = (
        "import os\n"
        "assert os.getuid() == os.getgid() == 65532\n"
        "open('/tmp/x', 'w').write('x')\n"
        "try: open('/x', 'w')\n"
        "except OSError as error: print(error.errno)\n"
    )
    python = "/opt/seldon/bin/python" if name in MODELS else "/opt/sluice/bin/python"
    answer = runner.run_command(name, [python, "-c", script])
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "30"  # EROFS
