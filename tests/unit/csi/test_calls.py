"""What every call goes through, over a real socket, with a service that does as it is told."""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from csi import logs
from csi.calls import CallGuard
from csi.errors import DiskInUse
from csi.serial import Turnstile
from csi.server import Server
from csi.stubs import csi_pb2, csi_pb2_grpc


class Obedient(csi_pb2_grpc.ControllerServicer, csi_pb2_grpc.SnapshotMetadataServicer):
    """Deletes volumes as their names say."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()

    def DeleteVolume(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        if request.volume_id == "used":
            raise DiskInUse('disk "used" is held by default/db-0')
        if request.volume_id == "broken":
            raise ZeroDivisionError("oops")
        if request.volume_id.startswith("slow"):
            self.entered.release()
            assert self.go_on.wait(10)
        return csi_pb2.DeleteVolumeResponse()

    def GetMetadataAllocated(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: ARG002, N802
        yield csi_pb2.GetMetadataAllocatedResponse(volume_capacity_bytes=1)
        raise DiskInUse("in the middle")


class Running:
    """A server with the obedient service, and a client."""

    def __init__(self, address: str) -> None:
        self.service = Obedient()  # type: ignore[abstract]  # the other RPCs are not called
        self.observed: list[tuple[str, str, float]] = []
        self.server = Server(
            address,
            [
                lambda s: csi_pb2_grpc.add_ControllerServicer_to_server(self.service, s),
                lambda s: csi_pb2_grpc.add_SnapshotMetadataServicer_to_server(self.service, s),
            ],
            CallGuard(Turnstile(), lambda *call: self.observed.append(call)),
        )
        self.server.start()
        self.channel = grpc.insecure_channel(address)
        self.controller = csi_pb2_grpc.ControllerStub(self.channel)
        self.metadata = csi_pb2_grpc.SnapshotMetadataStub(self.channel)

    def delete(self, volume: str, **fields: Any) -> csi_pb2.DeleteVolumeResponse:
        return self.controller.DeleteVolume(
            csi_pb2.DeleteVolumeRequest(volume_id=volume, **fields), timeout=20
        )

    def code_of(self, volume: str) -> tuple[grpc.StatusCode, str]:
        try:
            self.delete(volume)
        except grpc.RpcError as error:
            return error.code(), error.details() or ""
        return grpc.StatusCode.OK, ""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(f"unix://{tmp_path}/csi.sock")
    yield running
    running.service.go_on.set()
    running.channel.close()
    running.server.stop()


def test_an_error_becomes_its_code_and_sentence(running: Running) -> None:
    code, sentence = running.code_of("used")
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert sentence == 'disk "used" is held by default/db-0'


def test_a_bug_becomes_internal_and_names_the_call(running: Running) -> None:
    code, sentence = running.code_of("broken")
    assert code is grpc.StatusCode.INTERNAL
    assert "DeleteVolume failed in an unforeseen way: ZeroDivisionError: oops" in sentence


def test_a_bad_request_never_reaches_the_service(running: Running) -> None:
    assert running.code_of("") == (grpc.StatusCode.INVALID_ARGUMENT, "volume_id is missing")


def test_an_unknown_rpc_is_unimplemented(running: Running) -> None:
    node = csi_pb2_grpc.NodeStub(running.channel)
    with pytest.raises(grpc.RpcError) as caught:
        node.NodeGetInfo(csi_pb2.NodeGetInfoRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_stream_that_fails_ends_with_the_code(running: Running) -> None:
    stream = running.metadata.GetMetadataAllocated(
        csi_pb2.GetMetadataAllocatedRequest(snapshot_id="s")
    )
    assert next(stream).volume_capacity_bytes == 1
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_two_calls_for_one_volume_the_second_is_aborted(running: Running) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.delete, "slow")
        assert running.service.entered.acquire(timeout=10)
        code, sentence = running.code_of("slow")
        running.service.go_on.set()
        first.result()
    assert code is grpc.StatusCode.ABORTED
    assert 'another call for disk "slow" is under way' in sentence


def test_32_volumes_at_once(running: Running) -> None:
    with ThreadPoolExecutor(32) as pool:
        calls = [pool.submit(running.delete, f"slow-{number}") for number in range(32)]
        for _ in calls:
            assert running.service.entered.acquire(timeout=10), "calls do not run in parallel"
        running.service.go_on.set()
        for call in calls:
            call.result()


def test_a_stop_lets_running_calls_finish(tmp_path: Path) -> None:
    running = Running(f"unix://{tmp_path}/csi.sock")
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(running.delete, "slow")
        assert running.service.entered.acquire(timeout=10)
        stop = pool.submit(running.server.stop)
        running.service.go_on.set()
        assert call.result() == csi_pb2.DeleteVolumeResponse()
        stop.result()
    running.channel.close()
    assert list(tmp_path.iterdir()) == []


def test_a_call_is_one_log_line_without_secrets(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        running.delete("pgdata", secrets={"password": "hunter2"})
    lines = [json.loads(logs.JsonLines().format(record)) for record in caplog.records]
    done = [line for line in lines if line["message"] == "DeleteVolume"]
    assert [(line["volume"], line["code"]) for line in done] == [("pgdata", "OK")]
    assert "hunter2" not in json.dumps(lines)


def test_every_call_is_observed_with_its_code_and_time(running: Running) -> None:
    running.delete("pgdata")
    running.code_of("used")
    running.code_of("")
    list(
        _messages(
            running.metadata.GetMetadataAllocated(
                csi_pb2.GetMetadataAllocatedRequest(snapshot_id="s")
            )
        )
    )

    assert [(method, code) for method, code, _ in running.observed] == [
        ("DeleteVolume", "OK"),
        ("DeleteVolume", "FAILED_PRECONDITION"),
        ("DeleteVolume", "INVALID_ARGUMENT"),
        ("GetMetadataAllocated", "FAILED_PRECONDITION"),
    ]
    assert all(0 < seconds < 10 for _, _, seconds in running.observed)


def test_the_time_of_a_call_is_its_whole_time(running: Running) -> None:
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(running.delete, "slow")
        assert running.service.entered.acquire(timeout=10)
        assert running.observed == []
        began = time.monotonic()
        while time.monotonic() - began < 0.05:
            assert running.observed == []
        running.service.go_on.set()
        call.result()
    ((_, _, seconds),) = running.observed
    assert seconds >= 0.05


def _messages(stream: Iterator[Any]) -> Iterator[Any]:
    """What a stream gives until it fails."""
    with contextlib.suppress(grpc.RpcError):
        yield from stream
