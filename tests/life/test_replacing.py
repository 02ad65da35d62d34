"""A disk that is replaced: until the other one is there, the old data is."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from csi.errors import DiskInUse, Refused, Unavailable
from csi.kubernetes_api import Object
from deploy.local_driver import LocalDriver
from deploy.operate.driver import CallFailed
from deploy.operate.replacing import Replacement, replace
from tests.life.app import Operator
from tests.life.conftest import Apps
from tests.life.test_call import call

OLD, NEW = b"of the old disk", b"of the backup"


class Disk:
    """The disk, another one that shall take its place, and what replaces it."""

    def __init__(self, driver: LocalDriver, operator: Operator, app: Apps) -> None:
        self._driver, self._operator, self._app = driver, operator, app
        for name, data in (("pgdata", OLD), ("filled", NEW)):
            operator.create(name)
            instance = app(name).deploy()
            instance.file.write_bytes(data)
            instance.stop()

    @property
    def data(self) -> bytes:
        """What an app finds in the disk."""
        instance = self._app("pgdata").deploy()
        found = instance.file.read_bytes()
        instance.stop()
        return found

    def control(self, method: str, **request: Any) -> Object:
        """As in a cluster, where the words are the same and run in the driver's pod."""
        done = call(self._driver, method, json.dumps(request))
        answer = dict(json.loads(done.stdout))
        if done.returncode:
            raise CallFailed(answer["code"], answer["message"])
        return answer

    def delete(self) -> None:
        self._operator.delete("pgdata")

    def make(self) -> str:
        self._operator.clone("pgdata", "filled")
        return "made"

    def make_again(self, snapshot: str) -> None:
        self._operator.restore("pgdata", snapshot)

    def replace(
        self,
        *,
        delete: Callable[[], None] | None = None,
        make: Callable[[], str] | None = None,
        make_again: Callable[[str], object] | None = None,
    ) -> str:
        """Replace it, with some steps that are not as they should be."""
        how = Replacement(delete or self.delete, make or self.make, make_again or self.make_again)
        return replace(self.control, "pgdata", how)


@pytest.fixture
def disk(driver: LocalDriver, operator: Operator, app: Apps) -> Disk:
    return Disk(driver, operator, app)


def fails(*_: str) -> str:
    raise Unavailable("the pool is away")


def test_it_has_the_new_data_and_nothing_else_is_left(disk: Disk, operator: Operator) -> None:
    assert disk.replace() == "made"

    assert disk.data == NEW
    assert operator.snapshots() == []


def test_it_has_its_old_data_again_when_the_new_cannot_be_made(
    disk: Disk, operator: Operator
) -> None:
    with pytest.raises(Refused, match=r"has its old data again.*the pool is away"):
        disk.replace(make=fails)

    assert disk.data == OLD
    assert operator.snapshots() == []


def test_it_is_as_it_was_when_it_cannot_be_deleted(disk: Disk, operator: Operator) -> None:
    def refuses() -> None:
        raise DiskInUse("somebody holds it")

    with pytest.raises(DiskInUse, match="somebody holds it"):
        disk.replace(delete=refuses)

    assert disk.data == OLD
    assert operator.snapshots() == []


def test_a_snapshot_has_the_old_data_when_nothing_else_works(
    disk: Disk, operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Unavailable):
        disk.replace(make=fails, make_again=fails)

    (snapshot,) = operator.snapshots()
    assert f"kubectl miren disk snapshot restore {snapshot} --as NEW" in capsys.readouterr().err
    disk.make_again(snapshot)
    assert disk.data == OLD


def test_a_snapshot_has_the_old_data_of_who_is_interrupted(
    disk: Disk, operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        disk.replace(make=interrupted)

    (snapshot,) = operator.snapshots()
    assert f'"{snapshot}" has the old data' in capsys.readouterr().err
    disk.make_again(snapshot)
    assert disk.data == OLD


def test_both_are_there_when_only_the_answer_was_lost(disk: Disk, operator: Operator) -> None:
    def loses_the_answer() -> str:
        disk.make()
        raise Unavailable("the connection was lost")

    with pytest.raises(Unavailable, match="connection was lost"):
        disk.replace(make=loses_the_answer)

    assert disk.data == NEW
    assert len(operator.snapshots()) == 1
