"""The page of disks, where what it tells cannot happen on demand."""

import json
from http import HTTPStatus

from controller.disk_page import DiskPage
from controller.pool_looks import PoolLooks
from csi.disk import GIB, Disk
from tests.unit.controller.memory_pool import MemoryPool


def test_a_disk_that_nobody_uses_has_a_place_and_no_more() -> None:
    pool = MemoryPool()
    pool.create(Disk("a", GIB))

    page = DiskPage(PoolLooks(pool)).page()

    assert json.loads(page.text) == {"disks": {"a": {"place": "memory/a"}}}


def test_a_pool_that_fails_has_no_page() -> None:
    page = DiskPage(PoolLooks(MemoryPool(works=False))).page()

    assert page.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert "the pool does not answer" in page.text
