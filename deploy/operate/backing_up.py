"""Backups of a disk: into a file here, or into a repository."""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from controller.capacity import human
from csi.errors import DiskError, InvalidRequest, Refused
from csi.kubernetes_api import Conflict, Object
from deploy import console
from deploy.mover.about import About
from deploy.operate import (
    backup_file,
    credentials,
    hooks,
    kept_copies,
    last_backup,
    mover_life,
    places,
    pruning,
    retention,
    snapshots,
    subject,
)
from deploy.operate.backup_file import Remote
from deploy.operate.credentials import Credentials
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.hooks import HookFailed, Hooks
from deploy.operate.last_backup import LastBackup
from deploy.operate.mover import Mover
from deploy.operate.mover_job import HEARD_WITHIN, MoverJob, ScratchVolume, job_name
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
    snapshot: Object | None = None
    """The disk's that is backed up, in the words of CSI; None for one that is cut now."""

    @contextmanager
    def cut(
        self,
        words: Callable[[About], list[str]],
        repository: Repository | None = None,
        opened_by: Credentials | None = None,
    ) -> Iterator[tuple[Mover, About]]:
        """Cut a copy of the disk between the hooks, and yield a mover that has it.

        Args:
            words: says what the mover does, of what the copy is about.
            repository: where the mover stores it, if it does so itself.
            opened_by: what opens that.
        """
        with self.hooks.around():
            about = self._about()
            secrets = opened_by or Credentials()
            job = self._job(words(about), repository, secrets)
            with mover_life.started(self.cluster, job, secrets.given, self.bar) as one:
                one.wait_started(self.arguments.timeout)
                self.hooks.done()
                yield one, about

    def words(self, command: str, about: About) -> list[str]:
        """Return the words with which a mover reads the copy."""
        block = ["--block"] if self.disk.is_block else []
        return [command, "--about", json.dumps(about.facts()), *block]

    def _about(self) -> About:
        size, moment = self.disk.size, datetime.now(UTC)
        if self.snapshot:
            size = int(self.snapshot["size_bytes"])
            moment = datetime.fromisoformat(self.snapshot["creation_time"]).astimezone(UTC)
        time = moment.isoformat(timespec="seconds")
        return About(
            disk=self.disk.name,
            size=size,
            mode="block" if self.disk.is_block else "filesystem",
            filesystem=self.disk.filesystem,
            cluster=self.cluster.uid(),
            time=time.replace("+00:00", "Z"),
        )

    def _job(
        self, words: list[str], repository: Repository | None, opened_by: Credentials
    ) -> MoverJob:
        disk = self.disk
        return MoverJob(
            name=job_name("backup", disk.name),
            kind="backup",
            image=mover_life.image_of(self.cluster),
            words=words,
            nodes=disk.nodes,
            disk=disk.name,
            volume=ScratchVolume.copy(
                disk.name,
                self.snapshot["snapshot_id"] if self.snapshot else None,
                block=disk.is_block,
            ),
            repository=repository,
            secret=opened_by.secret,
            # It may have ended long before the hook has.
            heard_within=HEARD_WITHIN + self.hooks.after_takes,
        )


def backup(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Make a backup of a disk."""
    place = places.parse(arguments.to)
    _check(arguments, place)
    opened_by = Credentials()
    if isinstance(place, Repository):
        opened_by = credentials.find(arguments.secret, os.environ, cluster.namespace)
    disk = subject.find(cluster, arguments.name)
    if arguments.changed_blocks:
        subject.require_block(disk)
    snapshot = (
        snapshots.find(cluster, arguments.snapshot, disk.name) if arguments.snapshot else None
    )
    around = hooks.find(cluster, disk.name, arguments.pre, arguments.post, arguments.container)
    asked = _Backup(cluster, arguments, disk, around, ProgressBar(), snapshot)
    if isinstance(place, LocalFile):
        facts, time = _to_file(asked, place)
    else:
        facts, time = _to_repository(asked, place, opened_by)
    asked.bar.clear()
    _note(asked, place, facts, time)
    said = _told(asked, place, facts)
    if isinstance(place, Repository):
        try:
            said += _prune(asked, place, opened_by)
        except DiskError as error:
            raise Refused(f"{said}. But old backups could not be removed: {error}") from error
    if around.failure:
        raise HookFailed(f"{said}. But {around.failure}")
    return f"{said}\n"


def _check(arguments: argparse.Namespace, place: Place) -> None:
    """Raise InvalidRequest, Refused or NotFound for what can be seen before anything is done."""
    if arguments.snapshot and (arguments.pre or arguments.post):
        raise InvalidRequest("--pre and --post go with a cut; --snapshot names one that was made")
    if arguments.container and not (arguments.pre or arguments.post):
        raise InvalidRequest("--container says where --pre and --post run; there is neither")
    if arguments.changed_blocks and arguments.snapshot:
        raise InvalidRequest("--changed-blocks cuts a copy of its own; it goes without --snapshot")
    if isinstance(place, Repository):
        if arguments.force:
            raise InvalidRequest("--force replaces a file; a repository keeps all its backups")
        return
    if arguments.secret or retention.words(arguments):
        raise InvalidRequest("--secret and --keep-… go with a repository, not with a file")
    if arguments.changed_blocks:
        raise InvalidRequest("--changed-blocks goes with a repository; a file has all of the disk")
    backup_file.require_kubectl()
    backup_file.require_new(place.path, force=arguments.force)


def _to_file(asked: _Backup, place: LocalFile) -> tuple[Facts, str]:
    with asked.cut(lambda _: ["hold"]) as (one, about):
        remote = Remote(asked.arguments.context, asked.cluster.namespace, one.pod)
        words = asked.words("write-file", about)
        return backup_file.receive(remote, words, place.path, asked.bar), about.time


def _to_repository(asked: _Backup, place: Repository, opened_by: Credentials) -> tuple[Facts, str]:
    if asked.arguments.changed_blocks:
        return _changed_to_repository(asked, place, opened_by)
    return _moved(asked, place, opened_by)


def _changed_to_repository(
    asked: _Backup, place: Repository, opened_by: Credentials
) -> tuple[Facts, str]:
    """Back up a copy that is cut now, and kept: the next backup compares its own with it."""
    with (
        asked.hooks.around(),
        kept_copies.cut(asked.cluster, asked.disk.name, place) as copy,
    ):
        asked.hooks.done()
        of_copy = replace(asked, snapshot=copy.snapshot, hooks=hooks.none())
        return _moved(of_copy, place, opened_by, "--changes", copy.changes().to_json())


def _moved(
    asked: _Backup, place: Repository, opened_by: Credentials, *more: str
) -> tuple[Facts, str]:
    def words(about: About) -> list[str]:
        return [*asked.words("backup", about), *more]

    with asked.cut(words, place, opened_by) as (one, about):
        return one.result(), about.time


def _prune(asked: _Backup, place: Repository, opened_by: Credentials) -> str:
    """Remove old backups, if it is said how many are kept; return a sentence about it."""
    keep = retention.words(asked.arguments)
    if not keep:
        return ""
    words = pruning.words(asked.cluster, asked.disk.name, keep)
    facts = ask(
        asked.cluster, "prune", words, place, opened_by, nodes=asked.disk.nodes, bar=asked.bar
    )
    kept, removed = (retention.counted(len(facts[which])) for which in ("kept", "removed"))
    return f"; kept: {kept}; removed: {removed}"


def _note(asked: _Backup, place: Place, facts: Facts, time: str) -> None:
    """Note the backup with the disk's volume, where that is allowed."""
    last = LastBackup(time, str(place), facts.get("backup", ""), int(facts["bytes"]))
    try:
        last_backup.note(asked.cluster.api, asked.disk.volume, last)
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
    if facts.get("since"):
        read = human(int(facts["read"]))
        stored += f", {read} read as the rest is known from {facts['since']}"
    took = duration(asked.bar.seconds)
    return (
        f'disk "{asked.disk.name}" backed up to {place}{named}: {human(int(facts["bytes"]))}, '
        f"{stored}{files}, in {took}"
    )
