"""Devices: there when attached, as large as the disk, set as the disk says, gone when let go."""

import pytest

from controller.pool import HostPool
from csi.disk import MIB, Content, Disk, Source, SourceKind
from csi.errors import DiskInUse, NotFound
from csi.files import opened
from tests.contract import raw
from tests.contract.conftest import OpenPool
from tests.contract.host import Host

FILESYSTEMS = {"ext4": 64 * MIB, "xfs": 320 * MIB, "btrfs": 128 * MIB}
"""Each with a size that its mkfs accepts."""


@pytest.fixture
def pgdata(pool: HostPool) -> Disk:
    return pool.create(Disk("pgdata", 64 * MIB))


def test_attaching_makes_the_device_appear_at_its_size(pool: HostPool, pgdata: Disk) -> None:
    device = pool.attach("pgdata")

    assert device.is_block_device()
    assert raw.size(device) == pgdata.size
    assert pool.device("pgdata") == device


def test_attaching_again_gives_the_same_device(
    pool: HostPool, start: OpenPool, pgdata: Disk
) -> None:
    device = pool.attach(pgdata.name)

    assert pool.attach("pgdata") == device
    assert start().attach("pgdata") == device
    assert start().device("pgdata") == device


def test_a_detached_disk_can_be_attached_again(pool: HostPool, pgdata: Disk) -> None:
    raw.write(pool.attach(pgdata.name), 0, b"precious")

    pool.detach("pgdata")
    pool.detach("pgdata")

    assert raw.read(pool.attach("pgdata"), 0, 8) == b"precious"


# growing


def test_a_disk_grows_while_it_is_detached(pool: HostPool, start: OpenPool, pgdata: Disk) -> None:
    grown = pool.expand(pgdata.name, 100 * MIB + 1)

    assert 100 * MIB < grown.size <= 104 * MIB
    assert grown.size % pool.usage().granularity == 0
    assert start().get("pgdata") == grown
    assert raw.size(pool.attach("pgdata")) == grown.size


def test_a_disk_never_shrinks(pool: HostPool, pgdata: Disk) -> None:
    assert pool.expand("pgdata", 32 * MIB) == pgdata
    assert pool.expand("pgdata", pgdata.size) == pgdata
    assert raw.size(pool.attach("pgdata")) == pgdata.size


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_disk_grows_while_it_is_mounted(pool: HostPool, host: Host, filesystem: str) -> None:
    size = FILESYSTEMS[filesystem]
    pool.create(Disk("pgdata", size, filesystem=filesystem))
    device = pool.attach("pgdata")
    host.format(device, filesystem)
    target = host.mount(device)
    (target / "file").write_text("precious")

    pool.expand("pgdata", 2 * size)

    assert raw.size(device) == 2 * size
    assert (target / "file").read_text() == "precious"
    host.unmount(target)
    host.check(device, filesystem)


# read-ahead


def test_the_read_ahead_asked_for_is_set(pool: HostPool, start: OpenPool) -> None:
    pool.create(Disk("pgdata", 8 * MIB, read_ahead_kib=512))
    device = pool.attach("pgdata")
    at_creation = raw.read_ahead_kib(device)

    pool.set_read_ahead("pgdata", 2048)
    pool.set_read_ahead("pgdata", 2048)  # the same again is fine
    at_once = raw.read_ahead_kib(device)
    pool.detach("pgdata")
    again = start()
    later = raw.read_ahead_kib(again.attach("pgdata"))

    assert (at_creation, at_once, later) == (512, 2048, 2048)
    assert again.get("pgdata").read_ahead_kib == 2048


def test_the_read_ahead_of_a_detached_disk_is_set_when_it_is_attached(
    pool: HostPool, pgdata: Disk
) -> None:
    pool.set_read_ahead(pgdata.name, 1024)

    assert raw.read_ahead_kib(pool.attach("pgdata")) == 1024


# in use


@pytest.mark.loop_only  # LVM keeps the devices of idle disks
def test_an_idle_disk_has_no_device(pool: HostPool, pgdata: Disk) -> None:
    before = pool.device(pgdata.name)
    device = pool.attach("pgdata")
    pool.detach("pgdata")

    assert before is None
    assert pool.device("pgdata") is None
    assert raw.size(device) == 0


@pytest.mark.loop_only
def test_a_mounted_disk_is_not_detached(pool: HostPool, host: Host, pgdata: Disk) -> None:
    device = pool.attach(pgdata.name)
    host.format(device, "ext4")
    target = host.mount(device)

    with pytest.raises(DiskInUse, match=f'disk "pgdata" .* mounted at {target}'):
        pool.detach("pgdata")

    assert pool.device("pgdata") == device
    (target / "file").touch()


@pytest.mark.loop_only
def test_an_open_disk_is_not_detached(pool: HostPool, pgdata: Disk) -> None:
    device = pool.attach(pgdata.name)

    with opened(device), pytest.raises(DiskInUse, match=f'disk "pgdata" .*{device} is open'):
        pool.detach("pgdata")

    assert pool.device("pgdata") == device
    assert raw.size(device) == pgdata.size


# filesystems


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_filesystem_lives_on_through_detaching(
    pool: HostPool, start: OpenPool, host: Host, filesystem: str
) -> None:
    pool.create(Disk("pgdata", FILESYSTEMS[filesystem], filesystem=filesystem))
    device = pool.attach("pgdata")
    host.format(device, filesystem)
    pool.mark("pgdata", Content.FORMATTED)
    with host.mounted(device) as target:
        (target / "file").write_text("precious")

    pool.detach("pgdata")
    with host.mounted(start().attach("pgdata")) as target:
        assert (target / "file").read_text() == "precious"


def test_a_failed_create_leaves_nothing_that_could_be_attached(pool: HostPool) -> None:
    with pytest.raises(NotFound):
        pool.create(Disk("clone", 8 * MIB, source=Source(SourceKind.DISK, "nowhere")))

    assert pool.device("clone") is None
    with pytest.raises(NotFound):
        pool.attach("clone")
