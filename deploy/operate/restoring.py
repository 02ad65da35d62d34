"""Disks that are made from backups."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass

from controller.capacity import human
from csi import TOPOLOGY_KEY
from csi.errors import Incompatible, InvalidRequest, NotFound
from deploy.mover import archive
from deploy.operate import backup_file, backups, credentials, deleting, mover_life, places
from deploy.operate.backup_file import Remote
from deploy.operate.credentials import Credentials
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.making import copy
from deploy.operate.mover_job import MoverJob, ScratchVolume, job_name, volume_id
from deploy.operate.mover_lines import Facts
from deploy.operate.places import LocalFile, Place, Repository
from deploy.operate.progress_bar import ProgressBar, duration
from deploy.operate.replacing import Replacement, replace
from deploy.operate.repository_jobs import nodes
from deploy.operate.running import confirmed


@dataclass(frozen=True, slots=True)
class _Source:
    """A backup, and what its disk was."""

    place: Place
    opened_by: Credentials
    facts: Facts

    @property
    def is_block(self) -> bool:
        """Whether the disk was a raw device."""
        return bool(self.facts["mode"] == "block")

    def job(self, name: str, cluster: DiskCluster, size: int, node: str | None) -> MoverJob:
        """Return the Job that fills a volume with it, and keeps that."""
        block = ["--block"] if self.is_block else []
        in_file = isinstance(self.place, LocalFile)
        restore = ["restore", "--backup", str(self.facts.get("backup")), *block, "--hold"]
        filesystem = str(self.facts["filesystem"])
        return MoverJob(
            name=job_name("restore", name),
            kind="restore",
            image=mover_life.image_of(cluster),
            words=["hold"] if in_file else restore,
            nodes=nodes(node),
            disk=name,
            volume=ScratchVolume.empty(size, filesystem, block=self.is_block),
            repository=self.place if isinstance(self.place, Repository) else None,
            secret=self.opened_by.secret,
        )

    def __str__(self) -> str:
        """Return it as part of a sentence."""
        if isinstance(self.place, LocalFile):
            return str(self.place)
        return f"backup {self.facts['backup']} in {self.place}"


def restore(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Make a disk from a backup."""
    source = _source(cluster, arguments)
    name = arguments.new or str(source.facts["disk"])
    size = arguments.size or int(source.facts["size"])
    if source.is_block and size < int(source.facts["size"]):
        raise InvalidRequest(
            f"the backup is of a raw device of {human(int(source.facts['size']))}; {human(size)} "
            "are too few"
        )
    old = _existing(cluster, name, arguments)
    if old is not None and not _agreed(name, old, source, arguments):
        return "nothing is restored\n"
    node = arguments.node or (old.node if old else None)
    bar = ProgressBar()
    job = source.job(name, cluster, size, node)
    with mover_life.started(cluster, job, source.opened_by.given, bar) as one:
        one.wait_started(arguments.timeout)
        if isinstance(source.place, LocalFile):
            remote = Remote(arguments.context, cluster.namespace, one.pod)
            words = ["read-file", *(["--block"] if source.is_block else [])]
            facts = backup_file.send(remote, words, source.place.path, bar)
        else:
            facts = one.result()
        bar.clear()
        filled = {"volume": {"volume_id": volume_id(one.pod_uid)}}

        def make() -> str:
            return copy(cluster, name, filled, size, block=source.is_block)

        made = _replaced(cluster, name, old, make) if old else make()
    volume = next((one.name for one in cluster.volumes(name)), name)
    files = "" if source.is_block else f", {facts['files']} files"
    return (
        f"{made} restored from {source}, of {source.facts['time']}: {human(_amount(facts))}"
        f"{files}, in {duration(bar.seconds)}\n"
        f'An app gets it that names disk "{name}" in its app.toml; a claim gets it with '
        f"storageClassName: miren-disk and volumeName: {volume}\n"
    )


@dataclass(frozen=True, slots=True)
class _Old:
    """The disk that is replaced."""

    node: str
    size: int
    is_block: bool


def _source(cluster: DiskCluster, arguments: argparse.Namespace) -> _Source:
    place = places.parse(arguments.place)
    if isinstance(place, Repository):
        opened_by = credentials.find(arguments.secret, os.environ, cluster.namespace)
        found = backups.in_repository(cluster, arguments, place)
        return _Source(place, opened_by, backups.choose(found, arguments.disk, arguments.backup))
    if arguments.backup or arguments.secret:
        raise InvalidRequest("--backup and --secret go with a repository, not with a file")
    backup_file.require_kubectl()
    facts = backups.facts_of(archive.about(place.path))
    if arguments.disk not in {None, facts["disk"]}:
        raise NotFound(f'{place} is a backup of disk "{facts["disk"]}", not "{arguments.disk}"')
    return _Source(place, Credentials(), facts)


def _amount(facts: Facts) -> int:
    """Return how many bytes came back, or how many were read for that."""
    return int(facts["bytes"] if "bytes" in facts else facts["stored"])


def _existing(cluster: DiskCluster, name: str, arguments: argparse.Namespace) -> _Old | None:
    """Return the disk of that name, None if there is none; raises unless it may be replaced."""
    try:
        found = cluster.disk(name)
    except NotFound:
        return None
    if not arguments.replace:
        raise Incompatible(
            f'disk "{name}" exists already; choose another name with --as, or --replace it'
        )
    deleting.require_free(cluster, name)
    node = found["accessible_topology"][0]["segments"][TOPOLOGY_KEY]
    is_block = any(volume.is_block for volume in cluster.volumes(name))
    return _Old(str(node), int(found["capacity_bytes"]), is_block)


def _agreed(name: str, old: _Old, source: _Source, arguments: argparse.Namespace) -> bool:
    question = (
        f'Delete disk "{name}" ({human(old.size)}) and all its data, and put {source}, of '
        f"{source.facts['time']}, in its place?"
    )
    return confirmed(question, arguments)


def _replaced(cluster: DiskCluster, name: str, old: _Old, make: Callable[[], str]) -> str:
    def make_again(snapshot: str) -> str:
        source = {"snapshot": {"snapshot_id": snapshot}}
        return copy(cluster, name, source, old.size, block=old.is_block)

    deleting.require_free(cluster, name)
    how = Replacement(lambda: deleting.remove(cluster, name), make, make_again)
    return replace(cluster.driver.control, name, how)
