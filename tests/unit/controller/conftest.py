"""The controller's services over a pool and a lease store in memory."""

import pytest

from controller.groups import GroupControllerService
from controller.leases import Leases
from controller.metadata import SnapshotMetadataService
from controller.nodes import Nodes
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
    return ControllerService(Nodes.single(NODE, pool), leases)


@pytest.fixture
def groups(pool: MemoryPool) -> GroupControllerService:
    return GroupControllerService(Nodes.single(NODE, pool))


@pytest.fixture
def metadata(pool: MemoryPool) -> SnapshotMetadataService:
    return SnapshotMetadataService(Nodes.single(NODE, pool))
