"""Disks: what is asked for is what there is, durably, under any name; nothing else is touched."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller.pool import HostPool
from csi.disk import MIB, Content, Disk, NewSnapshot, PoolUsage
from csi.errors import DiskInUse, Incompatible, NotFound, PoolFull
from csi.files import opened
from tests.contract import raw
from tests.contract.conftest import OpenPool
from tests.contract.foreign import Foreign
from tests.contract.host import Host, run

ALL_FACTS = Disk(
    name="pgdata",
    size=64 * MIB,
    filesystem="xfs",
    content=Content.RAW,
    created_by="shop/db",
    lease_timeout=12.5,
    read_ahead_kib=256,
)

AWKWARD_NAMES = [
    "pgdata",
    "PGDATA",
    "PgData",
    "a/b",
    "../../etc/passwd",
    "..",
    ".",
    "-rf",
    "--help",
    "two words",
    " leading and trailing ",
    "comma,separated",
    "it's",
    'say "hello"',
    "back\\slash",
    "semi;colon & $(reboot) `reboot`",
    "disk-pgdata",
    "snap-pgdata",
    "100%",
    "a=b",
    "+2f",
    "#@!",
    "データ",
    "🐘",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "x" * 128,
    "x" * 127 + "y",
    "🐘" * 32,
]


def test_a_new_disk_is_what_was_asked_for(pool: HostPool) -> None:
    made = pool.create(ALL_FACTS)

    assert made == ALL_FACTS
    assert pool.get("pgdata") == ALL_FACTS


def test_sizes_are_rounded_up(pool: HostPool) -> None:
    step = pool.usage().granularity

    sizes = [pool.create(Disk(f"of {size} bytes", size)).size for size in (1, step, step + 1)]

    assert sizes == [step, step, 2 * step]
    assert [disk.size for disk in pool.disks()] == sorted(sizes)


def test_all_facts_survive_a_restart(pool: HostPool, start: OpenPool) -> None:
    pool.create(ALL_FACTS)
    pool.close()

    assert start().disks() == [ALL_FACTS]


def test_any_name_is_its_own_disk(pool: HostPool, start: OpenPool) -> None:
    wanted = [Disk(name, 4 * MIB, created_by=name) for name in AWKWARD_NAMES]

    made = [pool.create(disk) for disk in wanted]

    assert made == wanted
    assert start().disks() == sorted(wanted, key=lambda disk: disk.name)
    assert [pool.get(name).created_by for name in AWKWARD_NAMES[::5]] == AWKWARD_NAMES[::5]


@pytest.mark.loop_only  # LVM keeps names in tags, whose encoding has a test of its own
@given(name=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=32))
@example("a\N{NO-BREAK SPACE}b")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_disk_of_any_name_is_found_and_deleted_again(pool: HostPool, name: str) -> None:
    made = pool.create(Disk(name, MIB))

    assert pool.get(name) == made
    pool.delete(name)
    with pytest.raises(NotFound):
        pool.get(name)


def test_disks_are_listed_by_name(pool: HostPool) -> None:
    for name in ("b", "c", "a"):
        pool.create(Disk(name, MIB))

    assert [disk.name for disk in pool.disks()] == ["a", "b", "c"]


def test_a_disk_that_exists_is_returned_as_it_is(pool: HostPool) -> None:
    first = pool.create(ALL_FACTS)

    again = pool.create(Disk("pgdata", 8 * MIB, filesystem="btrfs", created_by="somebody/else"))

    assert again == first
    assert pool.disks() == [first]


def test_a_new_disk_reads_as_zeros_even_after_another_of_its_name(pool: HostPool) -> None:
    pool.create(Disk("pgdata", 8 * MIB))
    raw.write(pool.attach("pgdata"), 4096, b"secret")

    pool.delete("pgdata")
    pool.create(Disk("pgdata", 8 * MIB))

    assert not any(raw.read(pool.attach("pgdata"), 0, 8 * MIB))


def test_what_was_written_is_there_after_a_restart(pool: HostPool, start: OpenPool) -> None:
    pool.create(Disk("pgdata", 8 * MIB))
    raw.write(pool.attach("pgdata"), 4096, b"precious")
    pool.detach("pgdata")

    assert raw.read(start().attach("pgdata"), 4096, 8) == b"precious"


@pytest.mark.parametrize(
    "act",
    [
        lambda pool: pool.get("nowhere"),
        lambda pool: pool.delete("nowhere"),
        lambda pool: pool.expand("nowhere", 8 * MIB),
        lambda pool: pool.set_read_ahead("nowhere", 128),
        lambda pool: pool.attach("nowhere"),
        lambda pool: pool.mark("nowhere", Content.RAW),
    ],
    ids=["get", "delete", "expand", "set_read_ahead", "attach", "mark"],
)
def test_a_disk_that_does_not_exist_is_not_found(
    pool: HostPool, act: Callable[[HostPool], object]
) -> None:
    with pytest.raises(NotFound, match='disk "nowhere" does not exist'):
        act(pool)


def test_a_disk_that_does_not_exist_has_no_device_to_detach(pool: HostPool) -> None:
    assert pool.device("nowhere") is None
    pool.detach("nowhere")


def test_a_deleted_disk_is_gone_with_its_device(pool: HostPool) -> None:
    pool.create(Disk("pgdata", 8 * MIB))
    device = pool.attach("pgdata")

    pool.delete("pgdata")

    assert pool.disks() == []
    assert pool.device("pgdata") is None
    assert not device.exists() or raw.size(device) == 0
    with pytest.raises(NotFound):
        pool.delete("pgdata")


def test_a_mounted_disk_is_not_deleted(pool: HostPool, host: Host) -> None:
    pool.create(Disk("pgdata", 64 * MIB))
    device = pool.attach("pgdata")
    host.format(device, "ext4")
    target = host.mount(device)

    with pytest.raises(DiskInUse, match=f'disk "pgdata" .*{target}'):
        pool.delete("pgdata")

    (target / "still here").touch()
    assert pool.get("pgdata")


def test_a_disk_whose_device_is_open_is_not_deleted(pool: HostPool) -> None:
    pool.create(Disk("pgdata", 8 * MIB))
    device = pool.attach("pgdata")
    raw.write(device, 0, b"precious")

    with opened(device), pytest.raises(DiskInUse, match=r'disk "pgdata" .*open'):
        pool.delete("pgdata")

    assert raw.read(pool.attach("pgdata"), 0, 8) == b"precious"


def test_what_is_on_a_disk_is_recorded_for_good(pool: HostPool, start: OpenPool) -> None:
    disk = pool.create(Disk("pgdata", 8 * MIB, filesystem="ext4"))

    pool.mark("pgdata", Content.FORMATTED, "btrfs")
    formatted = start().get("pgdata")
    pool.mark("pgdata", Content.RAW)

    assert formatted == replace(disk, content=Content.FORMATTED, filesystem="btrfs")
    assert start().get("pgdata") == replace(formatted, content=Content.RAW)


# room


def test_usage_tells_what_is_written_and_what_is_promised(pool: HostPool) -> None:
    before = pool.usage()
    pool.create(Disk("pgdata", 64 * MIB))
    promised = pool.usage()
    raw.write(pool.attach("pgdata"), 0, b"\xab" * 20 * MIB)
    written = pool.usage()

    assert promised.provisioned == before.provisioned + 64 * MIB
    assert promised.used - before.used < 4 * MIB
    # LVM tells it as a share of the pool with two decimals only.
    assert 12 * MIB < written.used - promised.used < 32 * MIB
    assert written.used < written.size
    assert written.provisioned == promised.provisioned


def test_the_inventory_tells_each_disks_share(pool: HostPool) -> None:
    pool.create(Disk("idle", 64 * MIB))
    pool.create(Disk("written", 64 * MIB))
    written = pool.attach("written")
    run("dd", "if=/dev/urandom", f"of={written}", "bs=1M", "count=16", "oflag=direct")
    pool.create_snapshots([NewSnapshot("monday", "written")])

    found = pool.inventory()

    idle, busy = found.disks
    assert [idle.disk, busy.disk] == pool.disks()
    assert idle.used < 4 * MIB
    assert 16 * MIB <= busy.used < 24 * MIB
    assert found.snapshots == 1
    assert found.usage.provisioned == 128 * MIB
    precision = found.usage.size // 10_000  # LVM tells shares with two decimals
    assert found.usage.used >= busy.used - precision


def ratio_for(usage: PoolUsage, promisable: int) -> float:
    """The overcommit ratio with which about that many bytes may be promised."""
    return (usage.provisioned + promisable) / usage.size


def test_beyond_the_overcommit_limit_nothing_is_promised(pool: HostPool, start: OpenPool) -> None:
    tight = start(overcommit=ratio_for(pool.usage(), 300 * MIB))
    tight.create(Disk("first", 200 * MIB))

    with pytest.raises(PoolFull) as refused:
        tight.create(Disk("second", 200 * MIB))

    figures = r'disk "second" needs 200 MiB, but only (9|10)\S* MiB .*\(200 MiB promised of '
    assert re.match(figures, str(refused.value))
    assert [disk.name for disk in pool.disks()] == ["first"]
    assert tight.create(Disk("first", 200 * MIB)).size == 200 * MIB


def test_what_a_deleted_disk_was_promised_can_be_promised_again(
    pool: HostPool, start: OpenPool
) -> None:
    tight = start(overcommit=ratio_for(pool.usage(), 300 * MIB))
    tight.create(Disk("first", 200 * MIB))

    tight.delete("first")

    assert tight.create(Disk("second", 200 * MIB)).name == "second"


def test_no_disk_grows_beyond_the_overcommit_limit(pool: HostPool, start: OpenPool) -> None:
    tight = start(overcommit=ratio_for(pool.usage(), 300 * MIB))
    tight.create(Disk("pgdata", 200 * MIB))

    with pytest.raises(PoolFull, match='disk "pgdata" needs 200 MiB'):
        tight.expand("pgdata", 400 * MIB)

    assert pool.get("pgdata").size == 200 * MIB


def test_a_disk_far_beyond_the_pool_is_refused_with_the_figures(pool: HostPool) -> None:
    with pytest.raises(PoolFull, match='disk "huge" needs 1 EiB, but only'):
        pool.create(Disk("huge", 1 << 60))


# many at once


def test_disks_are_used_side_by_side(pool: HostPool) -> None:
    names = [f"disk {number}" for number in range(32)]
    wanted = [
        Disk(name, number * 4 * MIB, created_by=name) for number, name in enumerate(names, start=1)
    ]

    with ThreadPoolExecutor(32) as callers:
        made = list(callers.map(pool.create, wanted))
        devices = list(callers.map(pool.attach, names))
        sizes = [raw.size(device) for device in devices]
        for device, name in zip(devices, names, strict=True):
            raw.write(device, 0, name.encode())
        contents = [raw.read(pool.attach(name), 0, len(name)).decode() for name in names]
        listed = pool.disks()
        list(callers.map(pool.delete, names))

    assert made == wanted
    assert listed == sorted(wanted, key=lambda disk: disk.name)
    assert len(set(devices)) == 32
    assert sizes == [disk.size for disk in wanted]
    assert contents == names
    assert pool.disks() == []


def test_callers_do_not_slip_past_the_limit_together(pool: HostPool, start: OpenPool) -> None:
    tight = start(overcommit=ratio_for(pool.usage(), 8 * 64 * MIB + 32 * MIB))

    def create(number: int) -> bool:
        try:
            tight.create(Disk(f"disk {number}", 64 * MIB))
        except PoolFull:
            return False
        return True

    with ThreadPoolExecutor(32) as callers:
        made = list(callers.map(create, range(32)))

    assert made.count(True) == len(pool.disks()) == 8


# neighbours


def test_what_is_not_ours_is_neither_listed_nor_touched(pool: HostPool, foreign: Foreign) -> None:
    foreign.plant("theirs")

    assert pool.disks() == []
    assert pool.snapshots() == []
    with pytest.raises(NotFound):
        pool.get("theirs")
    with pytest.raises(NotFound):
        pool.delete("theirs")
    with pytest.raises(Incompatible, match=r'"theirs" .* not ours'):
        pool.create(Disk("theirs", 4 * MIB))
    pool.delete_snapshots(["theirs"])

    assert foreign.is_untouched()


def test_a_pool_that_works_says_so(pool: HostPool) -> None:
    pool.check()
