"""A pool, empty at first, of the kind that --pool names; and a host that uses its devices."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from controller.pool import HostPool
from csi.opening import open_pool
from tests.contract.foreign import Foreign
from tests.contract.host import Host, xfs

OVERCOMMIT = 100.0
"""Far above what any test needs; tests of the limit set their own."""

OpenPool = Callable[..., HostPool]


@pytest.fixture(
    params=["copy", pytest.param("reflink", marks=pytest.mark.loop_only)], scope="session"
)
def copying(request: pytest.FixtureRequest) -> str:
    """How a loop-file pool copies: ext4 has no reflinks, XFS has. LVM has a way of its own."""
    way: str = request.param
    return way


@pytest.fixture(scope="session")
def xfs_folder() -> Iterator[Path]:
    """A folder on XFS."""
    # pytest moves or removes its own folders before the last fixtures have ended.
    with (
        tempfile.TemporaryDirectory(prefix="miren-csi-xfs-") as place,
        xfs(Path(place) / "pool", 8 << 30) as folder,
    ):
        yield folder


@pytest.fixture
def pool_spec(request: pytest.FixtureRequest, pool_spec: str) -> str:
    """The pool as --pool names it; on XFS for tests that are to copy by reflinks."""
    if "copying" not in request.fixturenames or request.getfixturevalue("copying") == "copy":
        return pool_spec
    folder = request.getfixturevalue("xfs_folder") / request.node.name
    return f"loop:{folder}"


@pytest.fixture
def start(pool_spec: str) -> Iterator[OpenPool]:
    """Opens the pool as a driver does that has just started, with the overcommit ratio given."""
    with ExitStack() as stack:

        def start(overcommit: float = OVERCOMMIT) -> HostPool:
            return stack.enter_context(contextlib.closing(open_pool(pool_spec, overcommit)))

        yield start


@pytest.fixture
def pool(start: OpenPool) -> Iterator[HostPool]:
    """A pool."""
    pool = start()
    yield pool
    pool.delete_snapshots([snapshot.name for snapshot in pool.snapshots()])
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(pool.delete, [disk.name for disk in (*pool.disks(), *pool.scratch())]))


@pytest.fixture
def host(tmp_path: Path, pool: HostPool) -> Iterator[Host]:  # noqa: ARG001 - set up before
    """This machine; nothing of the pool stays mounted."""
    host = Host(tmp_path)
    yield host
    host.clear()


@pytest.fixture
def folder(pool_spec: str) -> Path:
    """The folder of a pool of loop files."""
    return Path(pool_spec.removeprefix("loop:"))


@pytest.fixture
def foreign(pool_spec: str, pool: HostPool) -> Iterator[Foreign]:  # noqa: ARG001 - makes the folder
    """Somebody else's things in the pool's place."""
    foreign = Foreign(pool_spec)
    yield foreign
    foreign.clear()
