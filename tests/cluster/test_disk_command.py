"""`kubectl miren disk` as an operator uses it, beside apps that use the disks."""

import sys
import uuid
from pathlib import Path

import pytest

from tests.cluster.apps import Apps, claim, pod
from tests.cluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.kubectl import KubectlError
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.second


class Operator:
    """Somebody with an admin's kubeconfig."""

    def __init__(self, kubernetes: Cluster) -> None:
        self._kubernetes = kubernetes

    def does(self, *words: str) -> str:
        """kubectl miren disk, which has to work; returns what it prints."""
        status, output, errors = self._run(*words)
        assert (status, errors) == (0, ""), f"{words}: {errors}"
        return output

    def fails(self, *words: str, status: int = 1) -> str:
        """kubectl miren disk, which has to fail; returns what it says."""
        ended, output, errors = self._run(*words)
        assert (ended, output) == (status, ""), f"{words}: {output}{errors}"
        assert "Traceback" not in errors
        return errors

    def volumes(self) -> set[str]:
        """The names of all PersistentVolumes."""
        return {one["metadata"]["name"] for one in self._kubernetes.get("pv")["items"]}

    def _run(self, *words: str) -> tuple[int, str, str]:
        program = str(Path(sys.executable).with_name("kubectl-miren"))
        done = self._kubernetes.run(program, "disk", *words, within=200)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def operator(kubernetes: Cluster, driver: Driver) -> Operator:  # noqa: ARG001
    return Operator(kubernetes)


@pytest.fixture
def name() -> str:
    """A disk's name that no other test uses."""
    return f"shop-{uuid.uuid4().hex[:6]}x"


def use(apps: Apps, disk: str, command: str) -> str:
    """Claim a disk by its name, have a pod of that name with it, and run something there."""
    apps.apply(claim(disk, volume=disk), pod(disk, {"/data": disk}))
    apps.ready(disk, within=90)
    return apps.run(disk, command)


def stop(apps: Apps, disk: str) -> None:
    apps.delete("pod", disk)
    apps.delete("pvc", disk)


def test_a_disk_lives_from_create_to_delete(
    operator: Operator, apps: Apps, driver: Driver, name: str
) -> None:
    made = operator.does("create", name, "--size", "64Mi", "--created-by", "ops")
    assert made == (f'disk "{name}" (64 MiB, ext4, on node-1; PersistentVolume {name}) created\n')
    assert name in operator.volumes()
    assert "exists already" in operator.fails("create", "-n", name)

    use(apps, name, "echo hello >/data/log; sync")
    taken = operator.fails("delete", name, "--yes")
    assert f"claimed by {apps.namespace}/{name}" in taken
    assert f"kubectl delete pvc -n {apps.namespace} {name}" in taken
    held = operator.fails("lease", "release", name)
    assert f"held by pod {apps.namespace}/{name}, which exists" in held
    assert "held by" in operator.fails("lease-delete", "-i", name, "--force")
    assert driver.holder(name) == f"{apps.namespace}/{name}"

    stop(apps, name)
    wait_until(lambda: driver.state(name) == "released", "the lease is released", within=60)
    assert operator.does("lease", "release", name) == f'disk "{name}" is not held by anybody\n'
    assert "--yes" in operator.fails("delete", name, status=2)
    assert operator.does("delete", "-i", name, "--yes") == f'disk "{name}" deleted\n'
    assert name not in operator.volumes()
    assert "does not exist" in operator.fails("delete", name, "--yes")


def test_a_disk_in_use_grows_at_once(operator: Operator, apps: Apps, name: str) -> None:
    operator.does("create", name, "-s", "64Mi")
    before = int(use(apps, name, "df -k /data | tail -1 | awk '{print $2}'"))

    assert operator.does("resize", name, "256Mi") == f'disk "{name}" has 256 MiB\n'

    after = int(apps.run(name, "df -k /data | tail -1 | awk '{print $2}'"))
    assert after > 3 * before
    assert "never shrinks" in operator.fails("resize", name, "64Mi", status=2)


def test_a_claim_of_an_ordinary_manifest_grows_by_its_claim(operator: Operator, apps: Apps) -> None:
    apps.apply(claim("notes"), pod("notes", {"/data": "notes"}))
    apps.ready("notes")
    disk = apps.volume_of("notes")["spec"]["csi"]["volumeHandle"]

    said = operator.does("resize", disk, "128Mi")

    assert said.startswith(f'disk "{disk}" has 128 MiB')
    assert apps.get("pvc", "notes")["spec"]["resources"]["requests"]["storage"] == str(128 << 20)


def test_copies_have_what_the_disk_had(operator: Operator, apps: Apps, name: str) -> None:
    first, clone, old = f"{name}-first", f"{name}-clone", f"{name}-old"
    operator.does("create", name, "-s", "64Mi")
    use(apps, name, "echo monday >/data/log; sync")

    assert f'of disk "{name}" cut at ' in operator.does("snapshot", "create", name, first)
    assert "exists already" in operator.fails("snapshot", "create", name, first)
    apps.run(name, "echo tuesday >>/data/log; sync")
    assert f'a copy of disk "{name}"' in operator.does("clone", name, clone)
    assert "created from snapshot" in operator.does("snapshot", "restore", first, "--as", old)
    assert "exists already" in operator.fails("snapshot", "restore", first, "--as", name)

    listed = operator.does("snapshot", "list", name).splitlines()
    assert listed[0].split() == ["NAME", "DISK", "SIZE", "CREATED"]
    assert listed[1].split()[:4] == [first, name, "64", "MiB"]
    assert operator.does("snapshot", "list", name, "-o", "name") == f"{first}\n"
    assert operator.does("snapshot", "delete", first, "--yes").endswith("deleted\n")
    assert operator.does("snapshot", "list", name) == "no snapshots\n"
    assert use(apps, clone, "cat /data/log") == "monday\ntuesday\n"
    assert use(apps, old, "cat /data/log") == "monday\n"


def test_a_lease_whose_holder_is_gone_is_released(
    operator: Operator, apps: Apps, driver: Driver, name: str
) -> None:
    operator.does("create", name, "-s", "64Mi")
    use(apps, name, "true")
    stop(apps, name)
    wait_until(lambda: driver.state(name) == "released", "the lease is released", within=60)
    # As it is when a controller was not there to see the pod go.
    driver.kubectl(
        *("patch", "lease", name, "--type=merge"),
        *("-p", '{"spec": {"holderIdentity": "nowhere/gone"}}'),
    )

    assert "--force" in operator.fails("lease", "delete", name)
    assert "nowhere/gone had it" in operator.does("lease-release", "-i", name)

    assert driver.holder(name) == ""
    assert operator.does("lease", "delete", name) == f'the lease of disk "{name}" is deleted\n'
    with pytest.raises(KubectlError, match="NotFound"):
        driver.lease(name)
