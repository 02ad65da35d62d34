"""Backups of a disk: into a file here, or into a repository."""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.capacity import human
from csi.errors import DiskError, InvalidRequest
from csi.kubernetes_api import Conflict, Object
from deploy import console
from deploy.operate import backup_file, credentials, hooks, mover, places, retention, subject
from deploy.operate.backup_file import Remote
from deploy.operate.credentials import Credentials
from deploy.operate.disk_cluster import VOLUMES, DiskCluster
from deploy.operate.hooks import HookFailed, Hooks
from deploy.operate.last_backup import LastBackup
from deploy.operate.mover import Mover
from deploy.operate.mover_job import MoverJob, ScratchVolume, job_name
from deploy.operate.mover_lines import Facts
from deploy.operate.places import LocalFile, Place, Repository
from deploy.operate.progress_bar import ProgressBar, duration
from deploy.operate.repository_jobs import ask
from deploy.operate.subject import Subject


@dataclass(frozen=True, slots=True)
class _Backup:
    """What is asked for."""

    cluster: DiskCluster
    arguments: argparse.Namespace
    disk: Subject
    hooks: Hooks
    bar: ProgressBar
    time: list[str]
    """When the copy was cut, once it was."""

    def about(self) -> str:
        """Return what the backup says of the disk, as JSON."""
        disk = self.disk
        facts = {
            "disk": disk.name,
            "size": disk.size,
            "filesystem": disk.filesystem,
            "mode": "block" if disk.is_block else "filesystem",
            "cluster": _cluster_uid(self.cluster),
            "time": self.time[0],
        }
        return json.dumps(facts)

    @property
    def block(self) -> list[str]:
        """The mover's word for a raw device."""
        return ["--block"] if self.disk.is_block else []

    @contextmanager
    def cut(
        self, words: Sequence[str], repository: Repository | None, opened_by: Credentials
    ) -> Iterator[Mover]:
        """Cut a copy of the disk between the hooks, with a mover that has it.

        An `about` among the words stands for what that says.
        """
        with self.hooks.around():
            self.time.append(datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))
            said = [self.about() if word == "about" else word for word in words]
            job = self.job(said, repository, opened_by)
            with mover.started(self.cluster, job, opened_by.given, self.bar) as one:
                one.wait_started(self.arguments.timeout)
                self.hooks.done()
                yield one

    def job(
        self, words: Sequence[str], repository: Repository | None, opened_by: Credentials
    ) -> MoverJob:
        """Return the Job."""
        disk = self.disk
        return MoverJob(
            name=job_name("backup", disk.name),
            kind="backup",
            image=mover.image_of(self.cluster),
            words=words,
            nodes=disk.nodes,
            disk=disk.name,
            volume=ScratchVolume.copy(disk.name, self.arguments.snapshot, block=disk.is_block),
            repository=repository,
            secret=opened_by.secret,
        )


def backup(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Make a backup of a disk."""
    place = places.parse(arguments.to)
    _check(arguments, place)
    opened_by = Credentials()
    if isinstance(place, Repository):
        opened_by = credentials.find(arguments.secret, os.environ, cluster.namespace)
    disk = subject.find(cluster, arguments.name)
    around = hooks.find(cluster, disk.name, arguments.pre, arguments.post, arguments.container)
    asked = _Backup(cluster, arguments, disk, around, ProgressBar(), [])
    if isinstance(place, LocalFile):
        facts = _to_file(asked, place)
    else:
        facts = _to_repository(asked, place, opened_by)
    asked.bar.clear()
    _note(asked, place, facts)
    said = _told(asked, place, facts)
    if around.failure:
        raise HookFailed(f"{said} But {around.failure}")
    if isinstance(place, Repository):
        said += _prune(asked, place, opened_by)
    return f"{said}\n"


def _check(arguments: argparse.Namespace, place: Place) -> None:
    """Raise InvalidRequest, Refused or NotFound for what can be seen before anything is done."""
    if arguments.snapshot and (arguments.pre or arguments.post):
        raise InvalidRequest("--pre and --post go with a cut; --snapshot names one that was made")
    if arguments.container and not (arguments.pre or arguments.post):
        raise InvalidRequest("--container says where --pre and --post run; there is neither")
    if isinstance(place, Repository):
        if arguments.force:
            raise InvalidRequest("--force replaces a file; a repository keeps all its backups")
        return
    if arguments.secret or retention.words(arguments):
        raise InvalidRequest("--secret and --keep-… go with a repository, not with a file")
    backup_file.require_new(place.path, force=arguments.force)


def _to_file(asked: _Backup, place: LocalFile) -> Facts:
    with asked.cut(["hold"], None, Credentials()) as one:
        remote = Remote(asked.arguments.context, asked.cluster.namespace, one.pod)
        words = ["write-file", "--about", asked.about(), *asked.block]
        return backup_file.receive(remote, words, place.path, asked.bar)


def _to_repository(asked: _Backup, place: Repository, opened_by: Credentials) -> Facts:
    words = ["backup", "--about", "about", *asked.block]
    with asked.cut(words, place, opened_by) as one:
        return one.result()


def _prune(asked: _Backup, place: Repository, opened_by: Credentials) -> str:
    """Remove old backups, if it is said how many are kept; return a sentence about it."""
    keep = retention.words(asked.arguments)
    if not keep:
        return ""
    words = ["prune", "--disk", asked.disk.name, *keep]
    facts = ask(
        asked.cluster, "prune", words, place, opened_by, nodes=asked.disk.nodes, bar=asked.bar
    )
    return f"; {len(facts['kept'])} backups are kept, {len(facts['removed'])} were removed"


def _note(asked: _Backup, place: Place, facts: Facts) -> None:
    """Note the backup with the disk's volume, where that is allowed."""
    last = LastBackup(asked.time[0], str(place), facts.get("backup", ""), int(facts["bytes"]))
    try:
        asked.cluster.api.patch(f"{VOLUMES}/{asked.disk.volume}", last.patch())
    except (DiskError, Conflict) as error:
        console.say(f"warning: that there is a backup could not be noted with the disk: {error}")


def _told(asked: _Backup, place: Place, facts: Facts) -> str:
    named = f" as {facts['backup']}" if "backup" in facts else ""
    stored = (
        f"{human(int(facts['added']))} of it new"
        if "added" in facts
        else f"{human(int(facts['stored']))} in the file"
    )
    files = "" if asked.disk.is_block else f", {facts['files']} files"
    took = duration(asked.bar.seconds)
    return (
        f'disk "{asked.disk.name}" backed up to {place}{named}: {human(int(facts["bytes"]))}, '
        f"{stored}{files}, in {took}"
    )


def _cluster_uid(cluster: DiskCluster) -> str:
    """Return what tells this cluster from others; empty for who may not know."""
    try:
        found: Object = cluster.api.get("/api/v1/namespaces/kube-system")
    except DiskError:
        return ""
    return str(found["metadata"]["uid"])
