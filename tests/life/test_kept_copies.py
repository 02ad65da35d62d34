"""Copies of raw devices that backups keep, as the real driver cuts, compares and deletes them.

What reaches the driver by `kubectl exec` in a cluster is called here on this machine.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from random import Random
from typing import Any, NoReturn, cast

import pytest

from csi.disk import MIB
from csi.kubernetes_api import KubernetesApi, Object
from deploy.local_driver import LocalDriver
from deploy.mover.parts import PART, Changes
from deploy.operate import kept_copies, snapshots
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.driver import CallFailed, Driver
from deploy.operate.places import Repository
from tests.life.app import Instance, Operator
from tests.life.conftest import Apps

DISK = 64 * MIB
BUCKET = Repository("s3:https://s3.example/bucket")
OTHER = Repository("s3:https://s3.example/other")


@dataclass(frozen=True, slots=True)
class Called(Driver):
    """A driver on this machine."""

    local: LocalDriver

    def control(self, method: str, **request: Any) -> Object:
        words = ["-m", "csi.main", "call", "--endpoint", f"unix://{self.local.socket}", method]
        command = [sys.executable, *words, json.dumps(request)]
        answer: Object = json.loads(subprocess.run(command, stdout=-1, check=False).stdout)
        if "code" in answer:
            raise CallFailed(answer["code"], answer["message"])
        return answer


@dataclass(frozen=True, slots=True)
class Here(DiskCluster):
    """A cluster of which only the driver is there."""

    called: Called

    @property
    def driver(self) -> Driver:
        return self.called


@pytest.fixture
def here(driver: LocalDriver) -> DiskCluster:
    nothing = cast("KubernetesApi", None)
    return Here(nothing, "", Called(nothing, "", driver))


@pytest.fixture
def db(app: Apps, operator: Operator) -> Instance:
    """An app on a raw device, which has written in its parts 0 and 7, and at its end."""
    operator.create("pgdata", size=DISK, filesystem="")
    db = app("pgdata", filesystem="").deploy()
    for part in (0, 7, 15):
        write(db, part)
    return db


def write(db: Instance, part: int) -> None:
    db.write(Random(part).randbytes(70_000), part * PART + PART // 2)


def backed_up(here: DiskCluster, place: Repository = BUCKET) -> Changes:
    """What is known of the copy of a backup that is made to a repository."""
    with kept_copies.cut(here, "pgdata", place) as copy:
        return copy.changes()


def kept(here: DiskCluster) -> list[str]:
    return [one["snapshot_id"] for one in snapshots.of_disk(here, "pgdata")]


def fails(here: DiskCluster, error: BaseException) -> NoReturn:
    with kept_copies.cut(here, "pgdata", BUCKET):
        raise error
    raise AssertionError


def test_what_is_written_is_told_and_then_what_has_changed(db: Instance, here: DiskCluster) -> None:
    first = backed_up(here)
    write(db, 1)
    second = backed_up(here)

    assert first.written == [(0, 1), (7, 8), (15, 16)]
    assert first.since == {}
    assert second.written == [(0, 2), (7, 8), (15, 16)]
    assert second.since == {first.copy: [(1, 2)]}
    assert second.copy != first.copy


@pytest.mark.usefixtures("db")
def test_the_last_copy_of_each_repository_stays(here: DiskCluster, operator: Operator) -> None:
    operator.snapshot("pgdata", "monday")
    first_known = backed_up(here)
    (first,) = {*kept(here)} - {"monday"}
    backed_up(here, OTHER)
    (second,) = {*kept(here)} - {"monday", first}

    third = backed_up(here)

    assert third.since.keys() == {first_known.copy}
    assert len(kept(here)) == 3
    assert first not in kept(here)
    assert {"monday", second} < {*kept(here)}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("error", [ValueError("no room"), KeyboardInterrupt()])
def test_a_backup_that_fails_leaves_the_copy_of_the_one_before(
    here: DiskCluster, error: BaseException
) -> None:
    backed_up(here)
    before = kept(here)

    with pytest.raises(type(error)):
        fails(here, error)

    assert kept(here) == before


@pytest.mark.usefixtures("db")
def test_what_killed_commands_left_goes_with_the_next_backup(
    here: DiskCluster, operator: Operator
) -> None:
    backed_up(here)
    (ours,) = kept(here)
    killed = f"{ours.rpartition('-')[0]}-123456789abc"
    operator.snapshot("pgdata", killed)

    backed_up(here)

    (left,) = kept(here)
    assert left not in {ours, killed}


@dataclass(frozen=True, slots=True)
class Mute(Called):
    """A driver that does not answer when it is asked what has changed: a fake."""

    def control(self, method: str, **request: Any) -> Object:
        if method.startswith("GetMetadata"):
            raise CallFailed("DEADLINE_EXCEEDED", "it takes too long")
        return Called.control(self, method, **request)


@pytest.mark.usefixtures("db")
def test_all_is_read_when_the_driver_does_not_say_what_has_changed(
    here: DiskCluster, driver: LocalDriver, capsys: pytest.CaptureFixture[str]
) -> None:
    backed_up(here)
    nothing = cast("KubernetesApi", None)

    changes = backed_up(Here(nothing, "", Mute(nothing, "", driver)))

    assert (changes.written, changes.since) == ([(0, 16)], {})
    assert "so all is: it takes too long" in capsys.readouterr().err


@pytest.mark.usefixtures("db")
def test_a_snapshot_with_a_similar_name_is_not_ours(here: DiskCluster, operator: Operator) -> None:
    operator.snapshot("pgdata", "backup-copy-2024")
    backed_up(here)

    kept_copies.remove_all(here, "pgdata")

    assert kept(here) == ["backup-copy-2024"]


@pytest.mark.usefixtures("db")
def test_a_disk_that_is_deleted_takes_its_copies_along(
    here: DiskCluster, operator: Operator
) -> None:
    operator.snapshot("pgdata", "monday")
    backed_up(here)
    backed_up(here, OTHER)

    kept_copies.remove_all(here, "pgdata")

    assert kept(here) == ["monday"]
