"""Never a lost byte: what the driver did not write itself, it does not overwrite."""

import hashlib
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import grpc
import pytest

from csi.disk import MIB
from tests.life.app import Instance, Operator, refused
from tests.life.conftest import Apps, Drivers
from tests.life.host import Host

RAW_SIZE = 128 * MIB


def _ext4(device: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)


def _btrfs(device: Path) -> None:
    subprocess.run(["mkfs.btrfs", "-q", "-f", device], check=True)


def _swap(device: Path) -> None:
    subprocess.run(["mkswap", device], check=True, stdout=subprocess.DEVNULL)


def _lvm2(device: Path) -> None:
    """The label of a physical volume, as pvcreate writes it (lvm2: label.h)."""
    label = b"LABELONE" + (1).to_bytes(8, "little") + bytes(4) + (32).to_bytes(4, "little")
    sector = bytearray(label + b"LVM2 001" + b"0123456789abcdef" * 2).ljust(512, b"\0")
    sector[16:20] = _lvm_crc(bytes(sector[20:])).to_bytes(4, "little")
    _put(device, bytes(sector), at=512)


def _lvm_crc(data: bytes) -> int:
    crc = 0xF597A6CF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc


def _gpt(device: Path) -> None:
    """A partition table with one partition (UEFI 2.10, 5.3), as a user's installer writes it."""
    sectors = RAW_SIZE // 512
    partition = b"a type of 16 by." + b"an id of its own" + struct.pack("<QQ", 2048, 4095)
    table = partition.ljust(128 * 128, b"\0")
    header = bytearray(b"EFI PART" + bytes.fromhex("00000100") + struct.pack("<I", 92)).ljust(
        92, b"\0"
    )
    struct.pack_into("<QQQQ", header, 24, 1, sectors - 1, 34, sectors - 34)
    struct.pack_into("<16sQIII", header, 56, b"the disk's own id", 2, 128, 128, zlib.crc32(table))
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    protective = bytes(446) + struct.pack("<B3sB3sII", 0, b"", 0xEE, b"", 1, sectors - 1)
    _put(device, protective.ljust(510, b"\0") + b"\x55\xaa" + bytes(header), at=0)
    _put(device, table, at=1024)


def _put(device: Path, data: bytes, at: int) -> None:
    with device.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize(
    "write",
    [_lvm2, *(pytest.param(one, marks=pytest.mark.loop_only) for one in (_btrfs, _swap, _gpt))],
)
def test_a_block_volume_with_a_signature_is_never_formatted(
    app: Apps, operator: Operator, write: Callable[[Path], None]
) -> None:
    operator.create("pgdata", size=RAW_SIZE, filesystem="")
    raw = app("pgdata", pod="raw-0", filesystem="").deploy()
    write(raw.target)
    before = _digest(raw.target)
    raw.stop()

    db = app("pgdata", filesystem="ext4")
    db.attach()
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "pgdata"):
        db.stage()
    db.detach()

    assert _digest(raw.deploy().target) == before


@pytest.mark.loop_only
def test_a_filesystem_that_a_user_made_on_a_block_volume_is_mounted_as_it_is(
    app: Apps, operator: Operator
) -> None:
    operator.create("pgdata", filesystem="")
    raw = app("pgdata", pod="raw-0", filesystem="").deploy()
    _ext4(raw.target)
    made = _blkid(raw.target)
    raw.stop()

    db = app("pgdata", filesystem="ext4").deploy()

    assert db.uuid() == made


@pytest.mark.loop_only
def test_an_empty_block_volume_may_become_a_filesystem(app: Apps, operator: Operator) -> None:
    operator.create("pgdata", filesystem="")
    app("pgdata", pod="raw-0", filesystem="").deploy().stop()

    db = app("pgdata").deploy()

    db.write(b"first order")
    assert db.read(100) == b"first order"


def test_a_damaged_filesystem_is_not_formatted_anew(
    app: Apps, operator: Operator, host: Host
) -> None:
    operator.create("pgdata", size=RAW_SIZE)
    db = app("pgdata").deploy()
    db.write(b"first order" * 1000)
    device = host.device_of(db.target)
    db.unpublish()
    db.unstage()
    _put(device, bytes(64 * 1024), at=0)  # somebody's dd went to the wrong place
    before = _digest(device)

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "pgdata"):
        db.stage()

    assert _digest(device) == before


@pytest.mark.loop_only
def test_a_folder_without_space_loses_nothing(drivers: Drivers, small_folder: Path) -> None:
    driver = drivers("--overcommit", "100", pool=f"loop:{small_folder}").start()
    operator = Operator(driver)
    operator.create("pgdata")
    db = Instance(driver, small_folder.parent, "pgdata").deploy()
    data = Random(7).randbytes(48 * MIB)
    db.write(data)
    before = sorted(small_folder.rglob("*"))

    for number in range(3):  # each would be a full copy
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "MiB"):
            operator.snapshot("pgdata", f"snapshot-{number}")

    assert operator.snapshots() == []
    assert sorted(small_folder.rglob("*")) == before
    db.stop()
    assert db.deploy().read(len(data)) == data


@pytest.fixture
def small_folder(tmp_path: Path, host: Host) -> Path:  # noqa: ARG001 - which unmounts it
    """A folder on a filesystem of its own with less than 96 MiB."""
    image, mounted = tmp_path / "small.img", tmp_path / "small"
    mounted.mkdir()
    subprocess.run(["truncate", "--size=96M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-m0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    (mounted / "pool").mkdir()
    return mounted / "pool"


@pytest.mark.lvm_only
def test_a_full_thin_pool_loses_nothing(
    drivers: Drivers, small_thin_pool: str, tmp_path: Path
) -> None:
    driver = drivers("--overcommit", "100", pool=small_thin_pool).start()
    operator = Operator(driver)
    operator.create("pgdata")
    operator.create("hog", filesystem="")
    db = Instance(driver, tmp_path, "pgdata").deploy()
    db.write(b"first order" * 1000)
    hog = Instance(driver, tmp_path, "hog", pod="hog-0", filesystem="").deploy()
    with pytest.raises(OSError, match=r"No space left|Input/output error"):
        hog.write(b"x" * 128 * MIB)

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "another"):
        operator.create("another")

    assert operator.disks() == ["hog", "pgdata"]
    hog.stop()
    operator.delete("hog")
    db.stop()
    assert db.deploy().read(11000) == b"first order" * 1000
    operator.create("another")
    db.stop()


@pytest.fixture
def small_thin_pool(pool_spec: str, host: Host) -> Iterator[str]:
    """A thin pool of 96 MiB in the VG of the large one, that fails at once when it is full."""
    vg = pool_spec.removeprefix("lvm:").partition("/")[0]
    make = ["lvcreate", "--quiet", "--yes", "--type", "thin-pool", "--size", "96M"]
    subprocess.run([*make, "--name", "small", vg], check=True)
    subprocess.run(["lvchange", "--quiet", "--errorwhenfull", "y", f"{vg}/small"], check=True)
    yield f"lvm:{vg}/small"
    host.clear()
    subprocess.run(["lvremove", "--quiet", "--quiet", "--force", f"{vg}/small"], check=True)


def _digest(device: Path) -> str:
    """Of all that is on it."""
    with device.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blkid(device: Path) -> str:
    command = ["blkid", "--probe", "--match-tag", "UUID", "--output", "value", str(device)]
    return subprocess.check_output(command, text=True).strip()
