"""What somebody is told to do about a disk, for all that can be wrong with it."""

import inspect
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.lease import Lease, Waiting
from deploy.operate import disk_advice
from deploy.operate.disk_advice import of
from deploy.operate.disk_details import DiskDetails
from deploy.operate.disk_state import DiskState
from deploy.operate.figures import PoolFigures
from deploy.operate.node_facts import UNKNOWN, NodeFacts, NodeMount, Problem
from deploy.operate.overview import DiskFacts
from node import health

GIB = 1 << 30
NOW = datetime.now(UTC)
DISK = DiskFacts(
    name="pgdata",
    volume="pgdata",
    size=GIB,
    used=GIB // 2,
    filesystem="ext4",
    state=DiskState.DETACHED,
    holder="",
    claim="shop/pgdata",
    node="node-1",
    created=NOW,
    created_by="shop",
    problems=(),
)
WELL = DiskDetails(
    disk=DISK,
    lease=None,
    holder=None,
    mounts=[],
    snapshots=[],
    events=[],
    pool=PoolFigures("node-1", 100 * GIB, 10 * GIB, 0.1, 20 * GIB, 200 * GIB, 2, 0),
    node=UNKNOWN,
    node_is_ready=True,
)


def test_nothing_is_to_do_when_all_is_well() -> None:
    assert [*of(WELL)] == []


def test_what_an_older_node_only_names_is_told_of_too() -> None:
    (todo,) = of(replace(WELL, disk=replace(DISK, problems=("FilesystemReadOnly",))))

    assert todo.startswith("FilesystemReadOnly: take a snapshot, then restart")


def test_a_problem_is_told_once_in_its_own_words() -> None:
    problem = Problem("FilesystemErrors", "the filesystem met 3 errors")
    ill = replace(
        WELL,
        disk=replace(DISK, problems=("FilesystemErrors", "DeviceFailed")),
        node=NodeFacts(problems=(problem,)),
    )

    assert ill.problems == (problem, Problem("DeviceFailed", ""))
    assert [todo.partition(":")[0] for todo in of(ill)] == ["FilesystemErrors", "DeviceFailed"]


def test_every_problem_that_a_node_tells_has_its_advice() -> None:
    told = re.findall(r'"((?:Device|Filesystem)[A-Z]\w+)"', inspect.getsource(health))

    assert len(told) == 5
    assert disk_advice._OF_PROBLEMS.keys() == set(told)


def test_a_filesystem_that_is_nearly_full_is_to_grow() -> None:
    node = NodeFacts(total=100, available=5)

    assert "kubectl miren disk resize pgdata" in "".join(of(replace(WELL, node=node)))
    assert [*of(replace(WELL, node=replace(node, available=6)))] == []


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (DiskState.PROVISIONING, "Its first pod makes it"),
        (DiskState.DELETING, "kubectl get pv pgdata"),
    ],
)
def test_what_a_state_means(state: DiskState, said: str) -> None:
    assert said in "".join(of(replace(WELL, disk=replace(DISK, state=state))))


def test_a_pool_that_fills_up_is_told_of() -> None:
    assert WELL.pool
    full = replace(WELL.pool, metadata_used=0.9)

    (todo,) = of(replace(WELL, pool=full))

    assert todo.startswith("The pool of node node-1 is almost-full: extend it")


def test_a_node_that_is_away_is_told_of() -> None:
    assert "Node node-1 is not ready" in "".join(of(replace(WELL, node_is_ready=False)))


def test_who_waited_too_long_for_a_free_disk_may_have_to_be_started_anew() -> None:
    now = datetime.now(UTC)
    late = Waiting("shop/db-1", now - timedelta(minutes=9), now, 300.0)
    waits = replace(late, holder="shop/db-2", since=now)
    lease = Lease("pgdata", renew_time=now, waiting=(late, waits))

    (todo,) = of(replace(WELL, lease=lease))

    assert "shop/db-1 waited longer than its lease_timeout of 5m" in todo
    assert todo.endswith("kubectl delete pod -n shop db-1")


@pytest.mark.parametrize(
    ("options", "of_filesystem", "said"),
    [
        (("rw", "relatime"), ("rw", "discard"), "rw,discard,relatime"),
        (("ro", "relatime"), ("rw",), "ro,relatime"),
        (("rw",), ("ro",), "ro"),
    ],
)
def test_options_are_those_that_hold(
    options: tuple[str, ...], of_filesystem: tuple[str, ...], said: str
) -> None:
    assert NodeMount("/m", "ext4", options, of_filesystem).all_options == said
