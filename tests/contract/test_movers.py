"""The objects around a backup, in a real API server; no node runs what they ask for."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest

from csi.errors import Busy, NotFound, Refused, Unavailable
from csi.kubernetes_api import KubernetesApi
from csi.persistent_volume import COORDINATOR, unclaimed
from deploy.operate import job_state, last_backup, mover_life, overview, pruning, subject
from deploy.operate.disk_cluster import VOLUMES, DiskCluster, volume_path
from deploy.operate.figures import Figures
from deploy.operate.last_backup import KEY, LastBackup
from deploy.operate.mover import Mover
from deploy.operate.mover_job import Image, MoverJob, ScratchVolume, job_name
from deploy.operate.places import Repository
from deploy.operate.progress_bar import ProgressBar
from tests.cluster.api_server import ApiServer, Cluster

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

SECRETS = {"RESTIC_PASSWORD": "correct horse"}


class Stop(Exception):
    """Ends a command early, so that it does not wait: no controller is here that ends its Job."""


@contextmanager
def begun(
    disks: DiskCluster, secrets: Mapping[str, str] | None = None, **facts: Any
) -> Iterator[Mover]:
    """Have a mover's Job, as long as the `with` lasts."""
    wanted = job(**facts)
    with suppress(Stop), mover_life.started(disks, wanted, secrets or {}, ProgressBar()) as one:
        yield one
        raise Stop


@pytest.fixture
def disks(cluster: Cluster) -> DiskCluster:
    return DiskCluster(KubernetesApi(), cluster.namespace)


def job(**facts: Any) -> MoverJob:
    known: dict[str, Any] = {
        "name": job_name("backup", "pgdata"),
        "kind": "backup",
        "image": Image("registry.example/miren-csi:1"),
        "words": ["backup", "--about", "{}"],
        "nodes": COORDINATOR.selector(),
        "disk": "pgdata",
        "volume": ScratchVolume.copy("pgdata", None, block=False),
        "repository": Repository("s3:https://s3.example/bucket"),
    }
    return MoverJob(**known | facts)


def found(disks: DiskCluster, collection: str) -> dict[str, Any]:
    """Return the mover's object in a collection."""
    path = f"/{collection.format(f'namespaces/{disks.namespace}')}/{job().name}"
    return disks.api.get(path)


def live_job(disks: DiskCluster) -> dict[str, Any]:
    return found(disks, "apis/batch/v1/{}/jobs")


def test_what_opens_a_repository_goes_with_the_job_and_is_nowhere_in_it(
    disks: DiskCluster,
) -> None:
    with begun(disks, SECRETS):
        made = live_job(disks)
        secret = found(disks, "api/v1/{}/secrets")

    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", made["metadata"]["uid"])
    assert [*secret["data"]] == ["RESTIC_PASSWORD"]
    assert not made["spec"]["suspend"]
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    assert "correct horse" not in json.dumps(made)


def test_a_job_is_taken_away_whatever_ends_its_command(disks: DiskCluster) -> None:
    with pytest.raises(KeyboardInterrupt), mover_life.started(disks, job(), {}, ProgressBar()):
        raise KeyboardInterrupt

    # No controller is here that would see it go.
    assert live_job(disks)["metadata"]["deletionTimestamp"]


def test_a_job_is_taken_away_though_nobody_heard_that_it_was_made(
    disks: DiskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = disks.api.create

    def interrupted(path: str, body: dict[str, Any]) -> NoReturn:
        create(path, body)
        raise KeyboardInterrupt

    monkeypatch.setattr(disks.api, "create", interrupted)
    with pytest.raises(KeyboardInterrupt), begun(disks, SECRETS):
        pass

    assert live_job(disks)["metadata"]["deletionTimestamp"]


def test_the_job_of_another_command_is_left_alone(disks: DiskCluster) -> None:
    path = f"/apis/batch/v1/namespaces/{disks.namespace}/jobs"
    with begun(disks):
        # Somebody does what he is told to if nobody waits for it any more, and starts another one.
        disks.api.delete(f"{path}/{job().name}", propagation="Background")
        disks.api.create(path, job().manifest())

    assert "deletionTimestamp" not in live_job(disks)["metadata"]


def test_a_second_one_hears_since_when_the_first_works_and_what_it_is(disks: DiskCluster) -> None:
    with begun(disks):
        with pytest.raises(Busy) as refusal, begun(disks):
            raise AssertionError("two at once")
        assert "deletionTimestamp" not in live_job(disks)["metadata"]

    for words in ('a backup of disk "pgdata"', "since 0s ago", f"{disks.namespace}/{job().name}"):
        assert words in str(refusal.value)


def test_one_that_is_deleted_and_does_not_go_is_told_with_where_to_look(
    disks: DiskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No controller is here that would let it go, as none does while its node is away."""
    monkeypatch.setattr(mover_life, "_GONE_WITHIN", 0.2)
    with begun(disks):
        pass

    with pytest.raises(Busy, match="is deleted and does not go") as refusal, begun(disks):
        raise AssertionError("two at once")

    assert f"-l batch.kubernetes.io/job-name={job().name}" in str(refusal.value)


def test_one_that_nobody_waits_for_any_more_makes_room(
    disks: DiskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pod has not started, and its command is gone; but one that works is left alone."""
    path = f"/apis/batch/v1/namespaces/{disks.namespace}/jobs"
    disks.api.create(path, job().manifest())
    monkeypatch.setattr(job_state, "_UNSTARTED", -1.0)
    working = {"status": {"active": 1, "ready": 1}}
    disks.api.patch(f"{path}/{job().name}/status", working)
    with pytest.raises(Busy, match="is under way"), begun(disks):
        raise AssertionError("two at once")

    disks.api.patch(f"{path}/{job().name}/status", {"status": {"active": 1, "ready": 0}})
    monkeypatch.setattr(mover_life, "_GONE_WITHIN", 0.2)  # no controller is here
    with pytest.raises(Busy, match="is deleted"), begun(disks):
        raise AssertionError("it is there still")


def end(disks: DiskCluster, seconds_ago: float) -> None:
    """Say of the mover's Job what its controller does when it has ended."""
    then = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    moment = then.isoformat(timespec="seconds").replace("+00:00", "Z")
    common = {"status": "True", "lastTransitionTime": moment}
    ended = {
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": one, **common} for one in ("FailureTarget", "Failed")],
    }
    path = f"/apis/batch/v1/namespaces/{disks.namespace}/jobs/{job().name}/status"
    disks.api.patch(path, {"status": ended})


@pytest.mark.parametrize(("heard_within", "seconds_ago"), [(30, 20), (630, 600)])
def test_one_that_has_ended_stays_until_its_command_has_heard_so(
    disks: DiskCluster, monkeypatch: pytest.MonkeyPatch, heard_within: int, seconds_ago: int
) -> None:
    """It may be busy with its second hook: its backup is made, and must not be told as lost."""
    monkeypatch.setattr(mover_life, "_GONE_WITHIN", 0.2)
    with begun(disks, heard_within=heard_within):
        end(disks, seconds_ago)
        with pytest.raises(Busy, match="is under way"), begun(disks):
            raise AssertionError("two at once")
        assert "deletionTimestamp" not in live_job(disks)["metadata"]

        end(disks, heard_within + 1)
        with pytest.raises(Busy, match="is deleted"), begun(disks):
            raise AssertionError("it is there still")


def test_who_comes_while_another_hears_how_it_went_waits_for_that(
    disks: DiskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/apis/batch/v1/namespaces/{disks.namespace}/jobs/{job().name}"
    with begun(disks):
        end(disks, 0)
        sleep = time.sleep

        def heard(seconds: float) -> None:
            disks.api.delete(path, propagation="Background")
            sleep(seconds)

        monkeypatch.setattr("deploy.operate.mover_life.time.sleep", heard)
        with begun(disks):
            assert "deletionTimestamp" not in live_job(disks)["metadata"]


def test_the_next_command_removes_what_a_killed_one_has_left(
    disks: DiskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its Job and what lets that loose: nothing else would ever remove it."""
    path = f"/apis/batch/v1/namespaces/{disks.namespace}/jobs"
    left, alive = job(name="list-1", kind="list", suspended=True), job(name="list-2", kind="list")
    for one in (left, alive):
        disks.api.create(path, one.manifest())
    with begun(disks, SECRETS, name="list-3"):
        assert "deletionTimestamp" not in disks.api.get(f"{path}/list-1")["metadata"]
    monkeypatch.setattr(job_state, "_STALE", -1.0)

    with begun(disks, SECRETS), suppress(NotFound):
        assert disks.api.get(f"{path}/list-1")["metadata"]["deletionTimestamp"]
    assert "deletionTimestamp" not in disks.api.get(f"{path}/list-2")["metadata"]


def test_a_mover_that_no_node_takes_is_given_up_in_time(disks: DiskCluster) -> None:
    with (
        pytest.raises(Unavailable, match=r"has not started after 0\.2 s"),
        begun(disks) as one,
    ):
        one.wait_started(0.2)


def test_a_mover_goes_with_the_pod_that_asked_for_it(
    disks: DiskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(mover_life.POD_NAME, "nightly-1")
    monkeypatch.setenv(mover_life.POD_UID, "5a4d12f5-0b7f-4b0c-9a68-1d2f5a3c0e11")

    with begun(disks):
        (owner,) = live_job(disks)["metadata"]["ownerReferences"]

    assert (owner["kind"], owner["name"]) == ("Pod", "nightly-1")


def test_what_another_cluster_has_backed_up_is_only_removed_when_that_is_said(
    disks: DiskCluster,
) -> None:
    uid = disks.api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    keep = ["--keep-last", "7"]

    own = pruning.words(disks, "pgdata", keep)
    assert own == ["prune", "--disk", "pgdata", *keep, "--cluster", uid]
    every = pruning.words(disks, "pgdata", keep, all_clusters=True)
    assert every == ["prune", "--disk", "pgdata", *keep]


def test_whose_a_backup_is_is_unknown_only_to_who_may_not_know(
    disks: DiskCluster, api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup without it, for a moment's trouble, would be one that no schedule ever removes."""
    api_server.kill()
    try:
        with pytest.raises(Unavailable):
            disks.uid()
    finally:
        api_server.start()
    assert disks.uid()

    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig("nobody")))
    strange = DiskCluster(KubernetesApi(), disks.namespace)
    assert strange.uid() == ""
    with pytest.raises(Refused, match="--all-clusters"):
        pruning.own(strange)


def test_without_the_driver_there_is_no_image(disks: DiskCluster) -> None:
    with pytest.raises(Unavailable, match=disks.namespace):
        mover_life.image_of(disks)


def test_a_backup_is_noted_with_its_disk(disks: DiskCluster) -> None:
    wish = {"filesystem": "xfs"}
    volume = unclaimed("Noted!", "64Mi", disks.namespace, pin=COORDINATOR, wish=wish)
    disks.api.create(VOLUMES, volume.manifest())
    try:
        disk = subject.find(disks, "Noted!")
        assert (disk.size, disk.filesystem, disk.is_block) == (64 << 20, "xfs", False)
        assert disk.nodes == COORDINATOR.selector()
        last = LastBackup("2026-01-01T00:00:00Z", "s3:https://s3.example/b", "1a2b3c4d", 4096)

        last_backup.note(disks.api, disk.volume, last)
        of_a_snapshot = replace(last, time="2025-12-31T23:59:59Z", backup="0a2b3c4d")
        last_backup.note(disks.api, disk.volume, of_a_snapshot)

        (facts,) = (one for one in overview.of_all(disks, Figures()) if one.name == "Noted!")
        assert facts.last_backup == last
        assert facts.document()["lastBackup"]["backup"] == "1a2b3c4d"
        assert "(2026-01-01T00:00:00Z) to s3:https://s3.example/b as 1a2b3c4d, 4 KiB" in str(last)
        # Whatever somebody writes there, disks are still shown.
        disks.api.patch(
            f"{VOLUMES}/{disk.volume}", {"metadata": {"annotations": {KEY: '{"time": 1}'}}}
        )
        (facts,) = (one for one in overview.of_all(disks, Figures()) if one.name == "Noted!")
        assert facts.last_backup is None
    finally:
        disks.api.delete(volume_path("Noted!"))
    with pytest.raises(NotFound, match='disk "never-there" does not exist'):
        subject.find(disks, "never-there")
