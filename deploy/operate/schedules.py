"""Disks that are backed up again and again."""

import argparse
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from csi import DEFAULT_NAMESPACE
from csi.errors import DiskError, InvalidRequest, NotFound, Refused
from csi.kubernetes_api import Object
from csi.object_names import object_name
from csi.persistent_volume import NAME_KEY
from deploy.app_cluster import MANAGER
from deploy.operate import mover_life, places, retention, subject
from deploy.operate.credentials import Credentials
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.progress_bar import ProgressBar
from deploy.operate.repository_jobs import ask
from deploy.operate.running import confirmed
from deploy.operate.schedule_manifests import (
    SCHEDULE_KEY,
    TO_KEY,
    Schedule,
    app_of,
    schedule_name,
)
from deploy.operate.subject import Subject
from deploy.operate.tables import age, document, table
from deploy.output import to_json, to_yaml

_HEAD = ("DISK", "SCHEDULE", "ZONE", "TO", "LAST-RUN", "LAST-SUCCESS", "STATE")
# What makes objects of another kind goes first.
_COLLECTIONS = {
    "CronJob": "/apis/batch/v1/{}cronjobs",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/{}rolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/{}roles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ServiceAccount": "/api/v1/{}serviceaccounts",
}


def open_repository(cluster: DiskCluster, schedule: Schedule, secret: str) -> None:
    """Have a mover open a repository, or make it; raises MoverFailed, Unavailable.

    Disks that are backed up at the same hour must not all make it at the same moment.
    """
    bar = ProgressBar()
    place, opened_by = places.repository(schedule.to), Credentials(secret)
    ask(cluster, "init", ["init"], place, opened_by, nodes=schedule.disk.nodes, bar=bar)
    bar.clear()


def create(
    cluster: DiskCluster,
    arguments: argparse.Namespace,
    opens: Callable[[DiskCluster, Schedule, str], None] = open_repository,
) -> str:
    """Have a disk backed up again and again, to a repository that `opens`."""
    schedule = _schedule(cluster, arguments)
    manifests = [*schedule.manifests()]
    if arguments.dry_run:
        return to_json(manifests) if arguments.output == "json" else to_yaml(manifests)
    _require_secret(cluster, arguments.secret)
    opens(cluster, schedule, arguments.secret)
    for manifest in manifests:
        cluster.api.apply(_path(manifest), manifest, MANAGER)
    for found in _stale(cluster, schedule, manifests):
        cluster.api.delete(_path(found))
    return (
        f'disk "{arguments.name}" is backed up to {schedule.to} at "{schedule.cron}"; to try it '
        f"now: kubectl create job -n {cluster.namespace} --from=cronjob/{schedule.name} "
        f"{schedule.name}-now\n"
    )


def show(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """List schedules."""
    path = _COLLECTIONS["CronJob"].format(f"namespaces/{cluster.namespace}/")
    found = cluster.api.list(path, {"labelSelector": SCHEDULE_KEY})
    facts = sorted(map(_facts, found), key=lambda one: str(one["disk"]))
    if arguments.output in {"json", "yaml"}:
        return document(facts, arguments.output)
    return table(_HEAD, [*map(_row, facts)]) if facts else "no schedules\n"


def delete(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """End a schedule."""
    name = schedule_name(arguments.name)
    found = [*_objects(cluster, name)]
    if not found:
        raise NotFound(
            f'disk "{arguments.name}" has no schedule; kubectl miren disk schedule list tells of '
            "those that have one"
        )
    if not confirmed(f'End the schedule of disk "{arguments.name}"?', arguments):
        return "nothing is deleted\n"
    for one in found:
        try:
            cluster.api.delete(_path(one), propagation="Background")
        except NotFound:
            continue
    return f'the schedule of disk "{arguments.name}" is deleted; its backups stay\n'


def _schedule(cluster: DiskCluster, arguments: argparse.Namespace) -> Schedule:
    place = places.repository(arguments.to)
    if len(arguments.cron.split()) != 5 and not arguments.cron.startswith("@"):
        raise InvalidRequest(
            f'"{arguments.cron}" is no schedule: write five fields, such as "0 3 * * *"'
        )
    disk = subject.find(cluster, arguments.name)
    if disk.volume != object_name(disk.name):
        raise Refused(
            f'disk "{disk.name}" has the PersistentVolume {disk.volume}, which somebody has made; a'
            f" schedule's account could not find it: make it anew, as {object_name(disk.name)}"
        )
    if arguments.changed_blocks:
        subject.require_block(disk)
    return Schedule(
        disk=disk,
        namespace=cluster.namespace,
        cron=arguments.cron,
        time_zone=arguments.time_zone,
        to=str(place),
        words=_words(arguments),
        image=mover_life.image_of(cluster),
        app=_app(cluster, disk, arguments),
        asks_driver=arguments.changed_blocks,
    )


def _words(arguments: argparse.Namespace) -> list[str]:
    """Return the command that the CronJob runs."""
    # In full: a disk may be called as one of the verbs is.
    said = ["disk", "backup", "create", arguments.name]
    said += ["--to", arguments.to, "--secret", arguments.secret]
    said += retention.words(arguments)
    if arguments.changed_blocks:
        said.append("--changed-blocks")
    for option in ("pre", "post", "container"):
        value = getattr(arguments, option)
        if value:
            said += [f"--{option}", value]
    if arguments.driver_namespace != DEFAULT_NAMESPACE:
        said += ["--driver-namespace", arguments.driver_namespace]
    return said


def _app(cluster: DiskCluster, disk: Subject, arguments: argparse.Namespace) -> str:
    """Return the namespace where hooks run; empty without them."""
    if not (arguments.pre or arguments.post):
        if arguments.container:
            raise InvalidRequest("--container says where --pre and --post run; there is neither")
        return ""
    claims = (volume.claim for volume in cluster.volumes(disk.name))
    app = next(filter(None, (app_of(claim, cluster.namespace) for claim in claims)), "")
    if not app:
        raise InvalidRequest(
            f'no app has disk "{disk.name}", so there is no namespace for --pre and --post; deploy '
            "the app first"
        )
    return app


def _require_secret(cluster: DiskCluster, name: str) -> None:
    try:
        cluster.api.get(f"/api/v1/namespaces/{cluster.namespace}/secrets/{name}")
    except NotFound:
        raise NotFound(
            f"there is no Secret {name} in namespace {cluster.namespace}: kubectl create secret "
            f"generic -n {cluster.namespace} {name} --from-literal=RESTIC_PASSWORD=… "
            "--from-literal=AWS_ACCESS_KEY_ID=… --from-literal=AWS_SECRET_ACCESS_KEY=…"
        ) from None
    except DiskError:
        return  # who may not read Secrets may name them


def _stale(cluster: DiskCluster, schedule: Schedule, manifests: list[Object]) -> Iterator[Object]:
    """Yield what an earlier schedule of the disk had, and this one has not: rights in an app."""
    kept = {_path(one) for one in manifests}
    for found in _objects(cluster, schedule.name):
        if _path(found) not in kept:
            yield found


def _objects(cluster: DiskCluster, name: str) -> Iterator[Object]:
    for kind, collection in _COLLECTIONS.items():
        selector = {"labelSelector": f"{SCHEDULE_KEY}={name}"}
        for found in cluster.api.list(collection.format(""), selector):
            yield {**found, "kind": kind}


def _path(found: Object) -> str:
    metadata = found["metadata"]
    namespace = metadata.get("namespace")
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"{_COLLECTIONS[found['kind']].format(where)}/{metadata['name']}"


def _facts(found: Object) -> dict[str, Any]:
    said = found["metadata"].get("annotations") or {}
    status = found.get("status") or {}
    return {
        "disk": said.get(NAME_KEY),
        "schedule": found["spec"]["schedule"],
        "timeZone": found["spec"].get("timeZone"),
        "to": said.get(TO_KEY),
        "lastRun": status.get("lastScheduleTime"),
        "lastSuccess": status.get("lastSuccessfulTime"),
        "running": bool(status.get("active")),
        "suspended": bool(found["spec"].get("suspend")),
        "cronJob": found["metadata"]["name"],
    }


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    state = "suspended" if facts["suspended"] else "running" if facts["running"] else "waiting"
    return (
        facts["disk"] or "",
        facts["schedule"],
        facts["timeZone"] or "",
        facts["to"] or "",
        *(_ago(facts[key]) for key in ("lastRun", "lastSuccess")),
        state,
    )


def _ago(time: str | None) -> str:
    return age(datetime.fromisoformat(time)) if time else ""
