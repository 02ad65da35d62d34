"""`miren-csi call`: a call to a driver that runs, from the command line."""

import json
import subprocess
import sys

import pytest

from deploy.local_driver import LocalDriver
from tests.life.app import Operator


def call(driver: LocalDriver, *words: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "csi.main", "call"]
    command = [*program, "--endpoint", f"unix://{driver.socket}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_answer_is_printed_as_json(driver: LocalDriver) -> None:
    request = {
        "name": "data",
        "capacity_range": {"required_bytes": 64 << 20},
        "volume_capabilities": [
            {"mount": {}, "access_mode": {"mode": "SINGLE_NODE_SINGLE_WRITER"}}
        ],
    }

    made = call(driver, "CreateVolume", json.dumps(request))
    found = call(driver, "ControllerGetVolume", '{"volume_id": "data"}')

    assert (made.returncode, made.stderr) == (0, "")
    assert json.loads(made.stdout)["volume"]["capacity_bytes"] == str(64 << 20)
    assert json.loads(found.stdout)["volume"] == json.loads(made.stdout)["volume"]


def test_a_stream_is_printed_as_one_object(driver: LocalDriver, operator: Operator) -> None:
    operator.create("data", size=64 << 20, filesystem="")
    operator.snapshot("data", "monday")

    streamed = call(driver, "GetMetadataAllocated", '{"snapshot_id": "monday"}')
    refused = call(driver, "GetMetadataAllocated", '{"snapshot_id": "tuesday"}')

    assert (streamed.returncode, streamed.stderr) == (0, "")
    (message,) = json.loads(streamed.stdout)["messages"]
    assert message["volume_capacity_bytes"] == str(64 << 20)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["code"] == "NOT_FOUND"


def test_a_call_that_is_refused_says_why(driver: LocalDriver) -> None:
    done = call(driver, "ControllerGetVolume", '{"volume_id": "nothing"}')

    assert (done.returncode, done.stderr) == (1, "")
    said = json.loads(done.stdout)
    assert said["code"] == "NOT_FOUND"
    assert '"nothing"' in said["message"]


@pytest.mark.loop_only
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["DeleteEverything"], "no call DeleteEverything; there are ControllerExpandVolume, "),
        (["GetMetadataDelta", '{"base": "monday"}'], "no GetMetadataDeltaRequest: "),
        (["GetPluginInfo", "{"], "no GetPluginInfoRequest: "),
        (["CreateVolume", '{"nome": "data"}'], 'no field named "nome"'),
        ([], "METHOD"),
    ],
)
def test_what_is_no_call_is_refused(driver: LocalDriver, words: list[str], said: str) -> None:
    done = call(driver, *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.loop_only
def test_a_driver_that_does_not_run_is_unavailable(driver: LocalDriver) -> None:
    driver.kill()

    done = call(driver, "GetPluginInfo")

    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == "UNAVAILABLE"
