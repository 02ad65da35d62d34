"""The objects that backups and their schedules consist of."""

import json
from dataclasses import replace
from typing import Any

import pytest

from csi.persistent_volume import COORDINATOR
from csi.wish import FILESYSTEM
from deploy.operate import hooks
from deploy.operate.mover_job import Image, MoverJob, ScratchVolume, job_name, on_node, volume_id
from deploy.operate.places import parse
from deploy.operate.schedule_manifests import Schedule, schedule_name
from deploy.operate.subject import Subject

Manifest = dict[str, Any]
LONG = "a-name-that-is-as-long-as-the-names-of-disks-may-become-" + "x" * 60


def job(**facts: Any) -> Manifest:
    known: dict[str, Any] = {
        "name": "backup-pgdata-1",
        "kind": "backup",
        "image": Image("registry.example/miren-csi:1"),
        "words": ["backup"],
        "nodes": COORDINATOR.selector(),
        "disk": "pgdata",
    }
    return MoverJob(**known | facts).manifest()


def pod(manifest: Manifest) -> Manifest:
    found: Manifest = manifest["spec"]["template"]["spec"]
    return found


def container(manifest: Manifest) -> Manifest:
    (found,) = pod(manifest)["containers"]
    return dict(found)


def volumes(manifest: Manifest) -> dict[str, Manifest]:
    return {one["name"]: one for one in pod(manifest)["volumes"]}


def test_a_copy_is_read_by_who_may_read_all_and_change_nothing() -> None:
    made = job(volume=ScratchVolume.copy("pgdata", None, block=False))

    csi = volumes(made)["disk"]["csi"]
    assert csi["volumeAttributes"] == {"copyOf": "pgdata", "mode": "filesystem"}
    assert csi["readOnly"]
    rights = container(made)["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"], "add": ["DAC_READ_SEARCH", "SYS_ADMIN"]}
    assert rights["readOnlyRootFilesystem"]
    assert not pod(made)["automountServiceAccountToken"]


def test_a_snapshot_takes_the_place_of_the_disk() -> None:
    made = job(volume=ScratchVolume.copy("pgdata", "monday", block=False))

    csi = volumes(made)["disk"]["csi"]
    assert csi["volumeAttributes"] == {"snapshot": "monday", "mode": "filesystem"}


def test_only_who_reads_a_device_is_privileged() -> None:
    device = ScratchVolume.copy("pgdata", None, block=True)
    folder = ScratchVolume.copy("pgdata", None, block=False)

    assert container(job(volume=device))["securityContext"]["privileged"]
    assert "privileged" not in container(job(volume=folder))["securityContext"]
    assert volumes(job(volume=device))["disk"]["csi"]["volumeAttributes"]["mode"] == "block"


def test_an_empty_volume_is_as_the_disk_was() -> None:
    made = job(volume=ScratchVolume.empty(1 << 30, "xfs", block=False))

    csi = volumes(made)["disk"]["csi"]
    wanted = {"size": str(1 << 30), FILESYSTEM: "xfs", "mode": "filesystem"}
    assert csi["volumeAttributes"] == wanted
    assert not csi["readOnly"]
    raw = job(volume=ScratchVolume.empty(4096, "", block=True))
    assert volumes(raw)["disk"]["csi"]["volumeAttributes"] == {"size": "4096", "mode": "block"}


def test_a_repository_in_a_folder_of_the_node_is_made_by_a_backup_alone() -> None:
    place = parse("node:/srv/backups")

    made = job(repository=place)
    listed = job(repository=place, kind="list")

    folder = {"path": "/srv/backups", "type": "DirectoryOrCreate"}
    assert volumes(made)["repository"]["hostPath"] == folder
    assert volumes(listed)["repository"]["hostPath"] == {**folder, "type": "Directory"}
    assert container(made)["env"] == [{"name": "RESTIC_REPOSITORY", "value": "/repository"}]


def test_secrets_are_named_and_never_told() -> None:
    made = job(repository=parse("s3:https://s3.example/b"), secret="nightly")

    assert container(made)["envFrom"] == [{"secretRef": {"name": "nightly"}}]


def test_nothing_begins_again_and_nothing_stays() -> None:
    spec = job()["spec"]

    assert (spec["backoffLimit"], spec["template"]["spec"]["restartPolicy"]) == (0, "Never")
    # A command learns how it went when its last hook has ended.
    assert hooks._WITHIN < spec["ttlSecondsAfterFinished"] <= 1800


def test_a_node_is_found_by_its_name_alone() -> None:
    (term,) = on_node("node-1")["nodeSelectorTerms"]

    (field,) = term["matchFields"]
    assert (field["key"], field["values"]) == ("metadata.name", ["node-1"])


@pytest.mark.parametrize("disk", ["pgdata", "Shop_Data!", LONG])
def test_a_job_has_one_name_for_each_disk(disk: str) -> None:
    name = job_name("backup", disk)

    assert name == job_name("backup", disk)
    assert len({name, job_name("restore", disk), job_name("backup", f"{disk}2")}) == 3
    # The pod's name and its label have this as their beginning.
    assert len(name) <= 63
    assert len(schedule_name(disk)) <= 52
    assert schedule_name(disk) != schedule_name(f"{disk}2")


def test_a_volume_has_the_id_that_kubelet_gives_it() -> None:
    # printf '%s%s' 5a… disk | sha256sum
    uid = "5a4d12f5-0b7f-4b0c-9a68-1d2f5a3c0e11"

    assert volume_id(uid) == (
        "csi-41bdc4e4e2f9fbdf57bde5f45391dbd39ba1799b87212daad66b3bd97335bfc7"
    )


def schedule(app: str = "") -> Schedule:
    disk = Subject("pgdata", "pgdata", 1 << 30, "ext4", COORDINATOR.selector())
    repository = ("--to", "s3:https://s3.example/b", "--secret", "nightly")
    words = ["disk", "backup", "create", "pgdata", *repository]
    return Schedule(
        disk=disk,
        namespace="miren-system",
        cron="0 3 * * *",
        time_zone="Europe/Berlin",
        to="s3:https://s3.example/b",
        words=words,
        image=Image("registry.example/miren-csi:1"),
        app=app,
    )


def of_kind(made: Schedule, kind: str) -> list[Manifest]:
    return [one for one in made.manifests() if one["kind"] == kind]


def test_a_cron_job_says_what_it_does() -> None:
    (cron,) = of_kind(schedule(), "CronJob")

    spec = cron["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("0 3 * * *", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Forbid"
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["kubectl-miren"]
    assert container["args"][:4] == ["disk", "backup", "create", "pgdata"]
    assert container["image"] == "registry.example/miren-csi:1"


def test_a_schedule_has_rights_in_an_app_only_for_hooks() -> None:
    kinds = [one["kind"] for one in schedule().manifests()]
    assert (kinds.count("Role"), kinds.count("ClusterRole")) == (1, 1)

    here, there = of_kind(schedule("shop"), "Role")
    assert there["metadata"]["namespace"] == "shop"
    resources = {one for rule in there["rules"] for one in rule["resources"]}
    assert resources == {"pods", "pods/exec"}
    assert "exec" not in json.dumps(here["rules"])


def test_a_schedule_asks_the_driver_only_for_changed_blocks() -> None:
    (here,) = of_kind(replace(schedule(), asks_driver=True), "Role")

    assert "pods/exec" in json.dumps(here["rules"])


def test_a_schedule_has_no_right_to_another_disk_and_to_no_secret() -> None:
    made = schedule("shop")

    (role,) = of_kind(made, "ClusterRole")
    assert {tuple(rule["resourceNames"]) for rule in role["rules"]} == {
        ("pgdata",),
        ("kube-system",),
    }
    assert "secrets" not in json.dumps([*of_kind(made, "Role"), role])


def test_what_a_schedule_consists_of_is_found_by_one_label() -> None:
    labels = {
        one["metadata"]["labels"]["disk.miren.dev/schedule"] for one in schedule("shop").manifests()
    }

    assert labels == {schedule_name("pgdata")}
