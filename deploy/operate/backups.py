"""Backups that exist: listed, verified, removed when they are old."""

import argparse
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from controller.capacity import human
from csi.errors import InvalidRequest
from deploy.mover import archive
from deploy.mover.about import About
from deploy.operate import credentials, places, pruning, retention
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.mover_lines import Facts
from deploy.operate.places import LocalFile, Repository
from deploy.operate.progress_bar import ProgressBar
from deploy.operate.repository_jobs import ask, nodes
from deploy.operate.running import confirmed
from deploy.operate.tables import age, document, short, table

_SHORT = 8
_HEAD = ("BACKUP", "DISK", "SIZE", "FS", "DATA", "ADDED", "AGE", "TIME")


def show(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """List backups."""
    place = places.parse(arguments.place)
    if isinstance(place, LocalFile):
        found = [_of_file(place.path)]
    else:
        found = in_repository(cluster, arguments, place)
    found = [one for one in found if arguments.disk in {None, one["disk"]}]
    if arguments.output in {"json", "yaml"}:
        return document([_document(one) for one in found], arguments.output)
    if not found:
        return "no backups\n"
    if len({one["cluster"] for one in found}) > 1:
        rows = [(*_row(one), str(one["cluster"])[:_SHORT]) for one in found]
        return table((*_HEAD, "CLUSTER"), rows)
    return table(_HEAD, [_row(one) for one in found])


def in_repository(
    cluster: DiskCluster, arguments: argparse.Namespace, place: Repository
) -> list[Facts]:
    """Return the backups in a repository, the oldest first; raises DiskError."""
    facts = _asked(cluster, arguments, place, "list", ["list"])
    return [Facts(one) for one in facts["backups"]]


def verify(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Look whether what was stored is still there."""
    place = places.parse(arguments.place)
    if isinstance(place, LocalFile):
        return _verify_file(place.path)
    words = ["check", *(["--read-data"] if arguments.read_data else [])]
    facts = _asked(cluster, arguments, place, "check", words)
    how = "all that they hold was read" if arguments.read_data else "their data was not read"
    return f"{place} is sound: {retention.counted(facts['backups'])}, {how}\n"


def prune(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Remove old backups."""
    place = places.repository(arguments.place)
    keep = retention.required(arguments)
    disks = [arguments.disk] if arguments.disk else _disks(cluster, arguments, place)
    if not disks:
        return "no backups\n"
    what = ", ".join(f'"{disk}"' for disk in disks)
    rules = " ".join(keep)
    if not confirmed(f"Remove backups of {what} from {place}, but for {rules}?", arguments):
        return "nothing is removed\n"
    said = ""
    for disk in disks:
        words = pruning.words(cluster, disk, keep, all_clusters=arguments.all_clusters)
        facts = _asked(cluster, arguments, place, "prune", words)
        removed = " ".join(facts["removed"]) or "none"
        kept = retention.counted(len(facts["kept"]))
        said += f'disk "{disk}": kept: {kept}; removed: {removed}\n'
    return said


def _disks(cluster: DiskCluster, arguments: argparse.Namespace, place: Repository) -> list[str]:
    whose = None if arguments.all_clusters else pruning.own(cluster)
    found = in_repository(cluster, arguments, place)
    return sorted({str(one["disk"]) for one in found if whose in {None, one["cluster"]}})


def _asked(
    cluster: DiskCluster,
    arguments: argparse.Namespace,
    place: Repository,
    kind: str,
    words: list[str],
) -> Facts:
    opened_by = credentials.find(arguments.secret, os.environ, cluster.namespace)
    where = nodes(arguments.node)
    return ask(cluster, kind, words, place, opened_by, nodes=where, bar=ProgressBar())


def _verify_file(path: Path) -> str:
    bar = ProgressBar()
    verified = archive.verify(path, bar.show)
    bar.clear()
    about = verified.about
    return (
        f'{path} is sound: disk "{about.disk}", {human(about.size)}, '
        f"{about.filesystem or 'block'}, of {about.time or 'an unknown time'}; its SHA256SUMS "
        f"have the SHA-256 {verified.stored.checksum}\n"
    )


def _of_file(path: Path) -> Facts:
    about = archive.about(path)
    return Facts({**facts_of(about), "backup": path.name, "added": path.stat().st_size})


def facts_of(about: About) -> Facts:
    """Return what an archive says of its disk as a repository says it of a backup."""
    return Facts(
        disk=about.disk,
        time=about.time,
        size=about.size,
        filesystem=about.filesystem,
        mode=about.mode,
        cluster=about.cluster,
        bytes=None,
    )


def choose(found: list[Facts], disk: str | None, backup: str | None) -> Facts:
    """Return the backup that is meant: the newest of a disk, or one; raises InvalidRequest."""
    fitting = [
        one
        for one in found
        if disk in {None, one["disk"]} and str(one["backup"]).startswith((backup or "")[:_SHORT])
    ]
    if not fitting:
        what = f"backup {backup}" if backup else f'backup of disk "{disk}"' if disk else "backup"
        raise InvalidRequest(f"there is no {what}; kubectl miren disk backup list tells of all")
    disks = sorted({str(one["disk"]) for one in fitting})
    if len(disks) > 1 or (backup and len(fitting) > 1):
        raise InvalidRequest(
            f"say which is meant with --disk and --backup: there are backups of {', '.join(disks)}"
        )
    if len({one["cluster"] for one in fitting}) > 1:
        raise InvalidRequest(
            f'several clusters have backed up a disk "{disks[0]}": say which backup is meant with '
            "--backup; kubectl miren disk backup list tells of all"
        )
    return max(fitting, key=lambda one: datetime.fromisoformat(one["time"]))


def _row(one: Facts) -> tuple[str, ...]:
    time = datetime.fromisoformat(one["time"]) if one["time"] else None
    return (
        str(one["backup"]),
        str(one["disk"]),
        short(int(one["size"])),
        "block" if one["mode"] == "block" else str(one["filesystem"]),
        "" if one["bytes"] is None else short(int(one["bytes"])),
        short(int(one["added"])),
        age(time) if time else "",
        time.isoformat(timespec="seconds").replace("+00:00", "Z") if time else "",
    )


def _document(one: Facts) -> dict[str, Any]:
    return {
        "backup": one["backup"],
        "disk": one["disk"],
        "time": one["time"] or None,
        "sizeBytes": one["size"],
        "filesystem": one["filesystem"] or None,
        "mode": one["mode"],
        "cluster": one["cluster"] or None,
        "dataBytes": one["bytes"],
        "addedBytes": one["added"],
    }
