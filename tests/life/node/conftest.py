"""The node side on loop devices, without a driver around it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from csi.capability import Capability, Mode
from node import block_device
from node.publishing import Publishing
from node.staging import Staging
from tests.life.host import Host
from tests.life.node.loop_disks import LoopDisks

WRITER = Capability(Mode.SINGLE_NODE_SINGLE_WRITER)
WRITERS = Capability(Mode.SINGLE_NODE_MULTI_WRITER)
READER = Capability(Mode.SINGLE_NODE_READER_ONLY)
BLOCK = Capability(Mode.SINGLE_NODE_SINGLE_WRITER, block=True)
BLOCK_WRITERS = Capability(Mode.SINGLE_NODE_MULTI_WRITER, block=True)
BLOCK_READER = Capability(Mode.SINGLE_NODE_READER_ONLY, block=True)


@pytest.fixture
def disks(tmp_path: Path, host: Host) -> Iterator[LoopDisks]:
    """No disks yet."""
    folder = tmp_path / "disks"
    folder.mkdir()
    yield LoopDisks(folder)
    for device in host.loop_devices():
        block_device.write_protect(device, on=False)


@pytest.fixture
def staging(disks: LoopDisks) -> Staging:
    return Staging(disks)


@pytest.fixture
def publishing(disks: LoopDisks) -> Publishing:
    return Publishing(disks)


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A staging folder, as the orchestrator makes it."""
    path = tmp_path / "stage"
    path.mkdir()
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A target path: its parent is there, it is not."""
    path = tmp_path / "pod" / "mount"
    path.parent.mkdir()
    return path
