"""What is read of pods, claims and volumes, and how little of them is kept."""

from typing import Any

import pytest

from controller import workloads
from controller.workloads import Reference, claim_of, pod_of, volume_of
from csi.disk import GIB
from csi.kubernetes_api import Object
from tests.unit.controller.cluster_objects import UID, claim, pod, seen_pod, volume

PGDATA = Reference("default", "pgdata")


def test_a_volume_of_another_driver_is_none_of_ours() -> None:
    host_path = {"metadata": {"name": "v"}, "spec": {"hostPath": {"path": "/srv"}}}

    for foreign in (volume(driver="other.example.com"), host_path):
        assert volume_of(foreign) is None
        assert workloads.trim_volume(foreign) is None


def test_a_volume_is_read_as_it_is() -> None:
    found = volume("pv-1", disk="My_Disk", capacity=3 * GIB, attributes={"size": "3Gi"})

    read = volume_of(found)

    assert read is not None
    assert (read.name, read.uid, read.version) == ("pv-1", "uid-of-pv-1", "42")
    assert (read.disk, read.capacity, read.wish) == ("My_Disk", 3 * GIB, {"size": "3Gi"})
    assert (read.phase, read.reclaim, read.deleting) == ("Bound", "Retain", False)
    assert not read.is_mirror
    assert read.claim == Reference("default", "pv-1")
    assert read.claim.uid == UID


def test_annotations_of_a_volume_say_what_it_wishes_and_win_over_its_attributes() -> None:
    annotations = {
        "disk.miren.dev/size": "4Gi",
        "disk.miren.dev/filesystem": "xfs",
        "disk.miren.dev/created-by": "shop",
        "disk.miren.dev/lease-timeout": "90s",
        "disk.miren.dev/read-only": "true",
        "disk.miren.dev/name": "pgdata",
        "example.com/size": "9Gi",
    }

    read = volume_of(volume(attributes={"size": "3Gi", "tier": "gold"}, annotations=annotations))

    assert read is not None
    assert read.wish == {
        "size": "4Gi",
        "filesystem": "xfs",
        "createdBy": "shop",
        "leaseTimeout": "90s",
        "readOnly": "true",
        "tier": "gold",
    }


def test_a_volume_that_was_just_made_has_no_status() -> None:
    bare = volume(claim="")
    del bare["status"]
    bare["spec"]["accessModes"] = ["ReadWriteOnce"]

    read = volume_of(bare)

    assert read is not None
    assert (read.phase, read.claim, read.wish) == ("", None, {})


def test_a_claim_is_read_as_it_is() -> None:
    read = claim_of(claim(requested=2 * GIB, granted=GIB, spec={"volumeMode": "Block"}))

    assert (str(read.reference), read.reference.uid) == ("default/pgdata", UID)
    assert (read.phase, read.volume) == ("Bound", "pgdata")
    assert (read.requested, read.granted) == (2 * GIB, GIB)
    assert read.access_modes == ("ReadWriteOncePod",)
    assert (read.volume_mode, read.storage_class) == ("Block", "miren-disk")


def test_a_claim_that_was_just_made_has_nothing_yet() -> None:
    bare = {"metadata": {"namespace": "default", "name": "pgdata"}, "spec": {}}

    read = claim_of(bare)

    assert (read.phase, read.volume, read.requested, read.granted) == ("", "", 0, 0)
    assert (read.volume_mode, read.storage_class) == ("Filesystem", "")


@pytest.mark.parametrize(
    ("storage", "size"),
    [("20Gi", 20 * GIB), ("1500M", 1_500_000_000), ("lots", 0), ("0", 0)],
)
def test_a_size_that_cannot_be_read_is_none(storage: str, size: int) -> None:
    odd = claim()
    odd["spec"]["resources"]["requests"]["storage"] = storage

    assert claim_of(odd).requested == size


def test_a_pod_uses_the_claims_of_its_namespace() -> None:
    one = seen_pod("db-0", "pgdata", "uploads")

    assert one.uses(PGDATA)
    assert one.uses(Reference("default", "uploads"))
    assert not one.uses(Reference("default", "cache"))
    assert not one.uses(Reference("another", "pgdata"))


def test_a_generic_ephemeral_volume_is_a_claim_named_after_the_pod() -> None:
    found = pod("job", "pgdata")
    found["spec"]["volumes"] += [
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"name": "config", "configMap": {"name": "settings"}},
    ]

    for seen in (found, workloads.trim_pod(found)):
        assert seen is not None
        assert pod_of(seen).claims == {"pgdata", "job-scratch"}


def test_a_pod_that_was_just_made_is_nowhere_and_uses_nothing() -> None:
    bare = pod(node="")
    del bare["status"], bare["spec"]["volumes"]

    read = pod_of(bare)

    assert (read.node, read.phase, read.is_over, read.deleting) == ("", "", False, False)
    assert read.claims == frozenset()


@pytest.mark.parametrize(
    ("phase", "over"),
    [("Pending", False), ("Running", False), ("Succeeded", True), ("Failed", True)],
)
def test_a_pod_that_has_ended_uses_nothing(phase: str, over: bool) -> None:
    one = seen_pod(phase=phase)

    assert one.is_over is over
    assert workloads.users([one], PGDATA) == ([] if over else [one])


def test_users_are_told_by_their_age() -> None:
    young, old = seen_pod("a", age=9), seen_pod("z", age=1)
    same, other = seen_pod("b", age=9), seen_pod("c", "uploads")

    found = workloads.users([young, other, same, old], PGDATA)

    assert [one.reference.name for one in found] == ["z", "a", "b"]


def test_a_pod_without_claims_is_not_kept() -> None:
    for volumes in ([], None, [{"name": "config", "configMap": {"name": "settings"}}]):
        found = pod()
        found["spec"]["volumes"] = volumes
        assert workloads.trim_pod(found) is None


def big(found: Object) -> Object:
    """An object with what Kubernetes and people add to it."""
    found["metadata"] |= {
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        "resourceVersion": "42",
    }
    return found


@pytest.mark.parametrize(
    ("found", "trim", "read"),
    [
        (pod("db-0", "pgdata", deleting=True), workloads.trim_pod, pod_of),
        (pod("db-0", node="", phase="Pending"), workloads.trim_pod, pod_of),
        (claim(requested=2 * GIB, granted=GIB), workloads.trim_claim, claim_of),
        (volume(attributes={"size": "1Gi"}, deleting=True), workloads.trim_volume, volume_of),
    ],
)
def test_what_is_kept_says_all_that_is_read(found: Object, trim: Any, read: Any) -> None:
    kept = trim(big(found))

    assert read(kept) == read(found)
    assert read(kept).__class__ is not type(None)
    assert "managedFields" not in str(kept)
    assert "containers" not in str(kept)


def test_a_claims_uid_is_kept_too() -> None:
    assert claim_of(workloads.trim_claim(claim())).reference.uid == UID
    trimmed = workloads.trim_pod(pod())
    assert trimmed is not None
    assert pod_of(trimmed).reference.uid == "uid-of-db-0"
