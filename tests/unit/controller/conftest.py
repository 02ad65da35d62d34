"""The controller's services over a pool and a lease store in memory."""

import pytest

from controller.groups import GroupControllerService
from controller.leases import Leases
from controller.metadata import SnapshotMetadataService
from controller.service import ControllerService
from tests.unit.controller.asking import NODE
from tests.unit.controller.memory_leases import Clock, MemoryLeaseStore
from tests.unit.controller.memory_pool import MemoryPool


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool() -> MemoryPool:
    return MemoryPool()


@pytest.fixture
def leases(clock: Clock) -> Leases:
    return Leases(MemoryLeaseStore(), clock)


@pytest.fixture
def controller(pool: MemoryPool, leases: Leases) -> ControllerService:
    return ControllerService(pool, leases, NODE)


@pytest.fixture
def groups(pool: MemoryPool) -> GroupControllerService:
    return GroupControllerService(pool, NODE)


@pytest.fixture
def metadata(pool: MemoryPool) -> SnapshotMetadataService:
    return SnapshotMetadataService(pool)
