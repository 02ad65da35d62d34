"""The overcommit limit, and the sentence of who meets it."""

import pytest

from controller.capacity import admit, human
from csi.disk import GIB, MIB, PoolUsage
from csi.errors import PoolFull


def usage(*, size: int = 8 * GIB, provisioned: int = 0, overcommit: float = 2.0) -> PoolUsage:
    return PoolUsage(
        size=size, used=0, provisioned=provisioned, overcommit=overcommit, granularity=4 * MIB
    )


def test_up_to_the_limit_disks_are_admitted() -> None:
    admit(usage(provisioned=12 * GIB), 'disk "pgdata"', 4 * GIB)


def test_beyond_the_limit_they_are_refused_with_all_figures() -> None:
    with pytest.raises(PoolFull) as refused:
        admit(usage(provisioned=12 * GIB + 512 * MIB), 'disk "pgdata"', 10 * GIB)

    assert str(refused.value) == (
        'disk "pgdata" needs 10 GiB, but only 3.5 GiB of the pool may still be promised '
        "(12.5 GiB promised of 8 GiB × overcommit 2)"  # noqa: RUF001
    )


def test_a_pool_that_promised_too_much_already_promises_nothing() -> None:
    full = usage(provisioned=20 * GIB)

    admit(full, 'disk "pgdata"', 0)
    with pytest.raises(PoolFull, match="but only 0 bytes of the pool"):
        admit(full, 'disk "pgdata"', 4 * MIB)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536 * MIB, "1.5 GiB"),
        (10 * GIB - 4 * MIB, "9.996 GiB"),
        (1 << 60, "1 EiB"),
        (1 << 70, "1024 EiB"),
    ],
)
def test_sizes_are_written_as_people_do(size: int, text: str) -> None:
    assert human(size) == text
