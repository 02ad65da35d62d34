"""Many calls at once over the socket: one at a time for a disk, side by side for different ones."""

import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from csi.disk import MIB
from csi.stubs import csi_pb2
from deploy.local_driver import LocalDriver
from tests.life.app import Instance, Operator, capability
from tests.life.conftest import Drivers

CALLS = 32
SMALL = 64 * MIB


@pytest.fixture
def driver(drivers: Drivers) -> LocalDriver:
    """`miren-csi all`, running, with a log for machines."""
    return drivers("--log-format", "json").start()


def new_disk(name: str) -> csi_pb2.CreateVolumeRequest:
    return csi_pb2.CreateVolumeRequest(
        name=name,
        capacity_range=csi_pb2.CapacityRange(required_bytes=SMALL),
        volume_capabilities=[capability("ext4")],
    )


def all_at_once(call: Any, requests: Iterable[Any]) -> list[Any]:
    """Make the calls without waiting for any; return each one's answer or error."""
    futures = [call.future(request, timeout=300) for request in requests]
    return [future.exception() or future.result() for future in futures]


def codes(answers: Iterable[Any]) -> Counter[grpc.StatusCode]:
    return Counter(
        answer.code() if isinstance(answer, grpc.RpcError) else grpc.StatusCode.OK
        for answer in answers
    )


def test_the_same_disk_is_made_once(driver: LocalDriver, operator: Operator) -> None:
    answers = all_at_once(driver.controller.CreateVolume, [new_disk("pgdata")] * CALLS)

    assert set(codes(answers)) <= {grpc.StatusCode.OK, grpc.StatusCode.ABORTED}
    made = [answer.volume for answer in answers if not isinstance(answer, grpc.RpcError)]
    assert made
    assert all(volume == made[0] for volume in made)
    assert operator.disks() == ["pgdata"]


@pytest.mark.loop_only
def test_one_of_many_instances_gets_the_disk(
    driver: LocalDriver, operator: Operator, tmp_path: Path
) -> None:
    operator.create("pgdata")
    pods = [Instance(driver, tmp_path, "pgdata", pod=f"db-{number}") for number in range(CALLS)]

    with ThreadPoolExecutor(CALLS) as threads:
        answers = list(threads.map(_outcome, (pod.attach for pod in pods)))

    assert codes(answers) == {grpc.StatusCode.OK: 1, grpc.StatusCode.ABORTED: CALLS - 1}
    leases = json.loads((driver.folder / "leases.json").read_text())["leases"]
    winner = next(pod for pod, answer in zip(pods, answers, strict=True) if answer is None)
    assert leases["pgdata"]["holderIdentity"] == f"default/{winner.pod}"


@pytest.mark.loop_only
def test_a_disk_is_staged_once_by_many_calls(
    driver: LocalDriver, operator: Operator, tmp_path: Path
) -> None:
    operator.create("pgdata")
    db = Instance(driver, tmp_path, "pgdata")
    db.attach()

    answers = all_at_once(driver.node.NodeStageVolume, [db.stage_request()] * CALLS)

    assert set(codes(answers)) <= {grpc.StatusCode.OK, grpc.StatusCode.ABORTED}
    assert codes(answers)[grpc.StatusCode.OK] >= 1
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    assert [line.split()[4] for line in lines].count(str(db.staging)) == 1


def test_different_disks_are_worked_on_side_by_side(
    driver: LocalDriver, operator: Operator, tmp_path: Path
) -> None:
    names = [f"disk-{number:02}" for number in range(CALLS)]
    created = all_at_once(driver.controller.CreateVolume, map(new_disk, names))
    assert codes(created) == {grpc.StatusCode.OK: CALLS}
    assert operator.disks() == names
    pods = [Instance(driver, tmp_path, name) for name in names]
    with ThreadPoolExecutor(CALLS) as threads:
        list(threads.map(Instance.attach, pods))

    # 32 times mkfs and more: gRPC's fork handlers must not hang any of them (grpc #22624).
    staged = all_at_once(driver.node.NodeStageVolume, [pod.stage_request() for pod in pods])
    assert codes(staged) == {grpc.StatusCode.OK: CALLS}
    with ThreadPoolExecutor(CALLS) as threads:
        list(threads.map(Instance.publish, pods))
        list(threads.map(lambda pod: pod.write(pod.disk.encode()), pods))
        assert [data.decode() for data in threads.map(lambda p: p.read(99), pods)] == names
        list(threads.map(Instance.stop, pods))

    assert most_at_once(driver.log, "NodeStageVolume") > 1
    assert most_at_once(driver.log, "CreateVolume") > 1
    deletes = [csi_pb2.DeleteVolumeRequest(volume_id=name) for name in names]
    deleted = all_at_once(driver.controller.DeleteVolume, deletes)
    assert codes(deleted) == {grpc.StatusCode.OK: CALLS}
    assert operator.disks() == []


def test_deleting_and_creating_at_once_ends_in_one_of_both(
    driver: LocalDriver, operator: Operator
) -> None:
    operator.create("pgdata", size=SMALL)
    delete = csi_pb2.DeleteVolumeRequest(volume_id="pgdata")

    with ThreadPoolExecutor(2) as threads:
        deleting = threads.submit(all_at_once, driver.controller.DeleteVolume, [delete] * CALLS)
        creating = [new_disk("pgdata")] * CALLS
        made = threads.submit(all_at_once, driver.controller.CreateVolume, creating)
        answers = deleting.result() + made.result()

    assert set(codes(answers)) <= {grpc.StatusCode.OK, grpc.StatusCode.ABORTED}
    assert operator.disks() in ([], ["pgdata"])
    operator.delete("pgdata")
    assert operator.disks() == []


def most_at_once(log: Path, method: str) -> int:
    """How many calls of a method were under way at the same moment, as the driver's log tells."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    moments: list[tuple[float, int]] = []
    for record in records:
        if record["message"] == method:
            end = _seconds(record["time"])
            moments += [(end - record["ms"] / 1e3, 1), (end, -1)]
    count, most = 0, 0
    for _, change in sorted(moments):
        count += change
        most = max(most, count)
    return most


def _seconds(time: str) -> float:
    hours, minutes, seconds = time.rstrip("Z").partition("T")[2].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _outcome(call: Any) -> grpc.RpcError | None:
    try:
        call()
    except grpc.RpcError as error:
        return error
    return None
