"""Volume health: what is looked at, and nothing else."""

from pathlib import Path

import pytest

from controller.service import ControllerService
from csi.disk import GIB, Content
from csi.errors import Unavailable
from csi.stubs import csi_pb2
from tests.unit.controller.asking import ask, create, mount, publish, refusal
from tests.unit.controller.memory_pool import MemoryPool

LIST = csi_pb2.ControllerListVolumeHealthRequest

Told = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _disks(controller: ControllerService) -> None:
    for name in ("cache", "pgdata", "uploads"):
        ask(controller.CreateVolume, create(name, volume_capabilities=[mount("xfs")]))


@pytest.fixture
def device(tmp_path: Path, pool: MemoryPool) -> Path:
    """The device of pgdata, formatted as its pool says."""
    path = tmp_path / "device"
    path.write_bytes(b"XFSB" + b"\0" * (128 << 10))
    pool.devices["pgdata"] = path
    pool.mark("pgdata", Content.FORMATTED)
    return path


def told(health: csi_pb2.VolumeHealth) -> Told:
    name = csi_pb2.VolumeHealthErrorType.Name
    return [(name(one.status), one.reason) for one in health.health_statuses]


def health(controller: ControllerService, disk: str = "pgdata") -> csi_pb2.VolumeHealth:
    request = csi_pb2.ControllerGetVolumeHealthRequest(volume_id=disk)
    found = ask(controller.ControllerGetVolumeHealth, request).volume_health
    assert found.volume_id == disk
    return found


def ailing(controller: ControllerService) -> dict[str, Told]:
    entries = ask(controller.ControllerListVolumeHealth, LIST()).entries
    return {one.volume_id: told(one) for one in entries}


@pytest.mark.usefixtures("device")
def test_a_healthy_disk_has_no_entries_and_is_not_listed(controller: ControllerService) -> None:
    ask(controller.ControllerPublishVolume, publish())

    assert told(health(controller)) == []
    assert ailing(controller) == {}


@pytest.mark.parametrize(("used", "expected"), [(89, []), (90, [("DEGRADED", "PoolAlmostFull")])])
def test_an_almost_full_pool_degrades_all_of_its_disks(
    controller: ControllerService, pool: MemoryPool, used: int, expected: Told
) -> None:
    pool.size, pool.used = 100 * GIB, used * GIB

    assert told(health(controller)) == expected
    names = ["cache", "pgdata", "uploads"] if expected else []
    assert ailing(controller) == dict.fromkeys(names, expected)


def test_metadata_space_may_run_out_first(controller: ControllerService, pool: MemoryPool) -> None:
    pool.metadata_used = 0.95

    found = health(controller)

    assert told(found) == [("DEGRADED", "PoolMetadataAlmostFull")]
    assert "95% full" in found.health_statuses[0].message


def test_a_disk_in_use_that_lost_its_filesystem_lost_its_data(
    controller: ControllerService, device: Path
) -> None:
    ask(controller.ControllerPublishVolume, publish())
    device.write_bytes(b"\0" * (128 << 10))

    lost = [("DATA_LOSS", "FilesystemMissing")]
    assert told(health(controller)) == lost
    assert ailing(controller) == {"pgdata": lost}


def test_an_idle_disk_is_not_read(controller: ControllerService, device: Path) -> None:
    device.write_bytes(b"\0" * (128 << 10))

    assert ailing(controller) == {}


def test_a_pool_that_does_not_answer_makes_disks_inaccessible(
    controller: ControllerService, pool: MemoryPool
) -> None:
    pool.works = False

    found = health(controller)

    assert told(found) == [("INACCESSIBLE", "PoolUnavailable")]
    assert found.health_statuses[0].message == "the pool does not answer"
    refusal(Unavailable, controller.ControllerListVolumeHealth, LIST())


def test_ailing_disks_come_in_pages(controller: ControllerService, pool: MemoryPool) -> None:
    pool.metadata_used = 1.0

    first = ask(controller.ControllerListVolumeHealth, LIST(max_entries=2))
    rest = ask(controller.ControllerListVolumeHealth, LIST(starting_token=first.next_token))

    names = [[one.volume_id for one in page.entries] for page in (first, rest)]
    assert names == [["cache", "pgdata"], ["uploads"]]
