"""Scratch volumes: disks that a pod gets as inline volumes, made and deleted with it.

kubelet makes two calls for an inline volume, NodePublishVolume and NodeUnpublishVolume. The first
one makes the disk, stages it at a place of the driver's own and publishes it; the second undoes
all. Each of these steps can be repeated, so a call that a kill cut short is simply made again.

A volume is told by its mark in the pool, never by its id: a user may have called a disk so.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from csi import scratch
from csi.capability import Capability, Mode
from csi.disk import Content, Disk, SourceKind
from csi.errors import DiskError, Incompatible, InvalidRequest, NotFound, Refused
from csi.scratch import DEVICE, Scratch
from node import mounts, paths
from node.devices import ScratchPool
from node.mounts import Mount
from node.publishing import FIELD, Publishing
from node.staging import Staging

log = logging.getLogger(__name__)

_FOLDER = "miren-scratch"
"""What the mount table calls the folder of a block device."""
_FOLDER_OPTIONS = ("nosuid", "noexec", "size=64k", "mode=0700")


class ScratchVolumes:
    """NodePublishVolume and NodeUnpublishVolume of inline volumes; keeps no state."""

    def __init__(self, pool: ScratchPool, folder: Path, namespace: str) -> None:
        """Prepare; nothing is made before the first volume.

        Args:
            pool: where the disks are.
            folder: where they are staged; it must be the host's, and of this driver alone.
            namespace: the driver's own. Pods of others get none: whoever may create pods in some
                namespace could read every disk else.
        """
        self._pool = pool
        self._folder = folder
        self._namespace = namespace
        self._staging = Staging(pool)
        self._publishing = Publishing(pool)

    def publish(
        self,
        name: str,
        target: Path,
        context: Mapping[str, str],
        capability: Capability,
        *,
        read_only: bool,
    ) -> None:
        """Make a scratch volume and make it appear at `target`; idempotent.

        Args:
            name: the volume's id, which kubelet chose.
            target: where it shall appear.
            context: the volume_context, which says for which pod and what it shall be.
            capability: how it is to be used.
            read_only: whether the pod may only read.

        Raises:
            InvalidRequest: the request makes no sense.
            Refused: the pod is of another namespace, or whatever `Staging.stage` refuses.
            NotFound: there is no such disk or snapshot in the pool of this node.
            Incompatible: the id is that of a disk, or of a volume that was made otherwise.
            PoolFull: no room.
        """
        self._refuse_strangers(context)
        wanted = scratch.parse(context)
        read_only = read_only or capability.read_only
        _check(name, wanted, capability, read_only=read_only)
        with _speaking_of(name, wanted):
            is_new = self._make(name, wanted)
            try:
                self._show(name, target, wanted, capability, read_only=read_only)
            except BaseException:
                # kubelet does not always undo what has failed.
                if is_new:
                    with suppress(DiskError):
                        self.unpublish(name, target)
                raise

    def has(self, name: str) -> bool:
        """Whether an id is that of a scratch volume, or may have been until it was deleted."""
        if not scratch.may_be(name):
            return False
        found = self._find(name)
        return found is None or bool(found.scratch_for)

    def unpublish(self, name: str, target: Path) -> None:
        """Undo `publish` and delete the volume; fine if that is done, or half of it.

        Raises:
            Refused: something else is at the target; it is left alone.
            DiskInUse: files there are open.
        """
        if self._find(name) is not None:
            self._hide(name, target)
            self._delete(name)
        paths.remove(FIELD, target)

    def discard(self, name: str) -> None:
        """Delete a volume whose pod is gone, wherever it is mounted.

        Raises DiskInUse when files in it are open.
        """
        device = self._pool.device(name)
        for mount in reversed(mounts.users(device) if device else []):
            mounts.unmount(mount.target)
        self._delete(name)

    def _refuse_strangers(self, context: Mapping[str, str]) -> None:
        namespace = context.get(scratch.POD_NAMESPACE, "")
        if namespace != self._namespace:
            raise Refused(
                f'a pod of namespace "{namespace}" cannot have an inline volume of this driver: '
                f'only those of its own, "{self._namespace}", can; use a PersistentVolumeClaim'
            )

    def _make(self, name: str, wanted: Scratch) -> bool:
        """Have the volume in the pool; tell whether it is new."""
        existing = self._find(name)
        if existing is None:
            made = self._pool.create(self._planned(name, wanted))
            log.info("made %s for pod %s as %s", wanted, wanted.pod, made.name)
            return True
        if not existing.scratch_for:
            raise Incompatible(f'"{name}" is the name of a disk, which is no scratch volume')
        if (existing.scratch_for, existing.source) != (wanted.pod, wanted.source):
            raise Incompatible(
                f"scratch volume {name} exists, but was made otherwise, for pod "
                f"{existing.scratch_for}"
            )
        return False

    def _planned(self, name: str, wanted: Scratch) -> Disk:
        return Disk(
            name=name,
            size=wanted.size or self._size_of_source(wanted),
            filesystem=wanted.filesystem,
            content=Content.RAW if wanted.is_block else Content.PENDING,
            source=wanted.source,
            scratch_for=wanted.pod,
        )

    def _size_of_source(self, wanted: Scratch) -> int:
        source = wanted.source
        if source is None:
            raise ValueError("an empty volume has no source")
        try:
            if source.kind is SourceKind.SNAPSHOT:
                return self._pool.get_snapshot(source.name).size
            return self._pool.get(source.name).size
        except NotFound as error:
            raise NotFound(f"{error} in the pool of this node") from None

    def _show(
        self, name: str, target: Path, wanted: Scratch, capability: Capability, *, read_only: bool
    ) -> None:
        stage = self._folder / name
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Staged writable in any case: only so a journal is replayed, and the copy complete.
        use = replace(
            capability,
            mode=Mode.SINGLE_NODE_WRITER,
            block=wanted.is_block,
            filesystem="",
            flags=tuple(flag for flag in capability.flags if flag != "ro"),
        )
        self._staging.stage(name, stage, use)
        place = target
        if wanted.is_block:
            _make_folder(target)
            place = target / DEVICE
        self._publishing.publish(name, stage, place, use, read_only=read_only)

    def _hide(self, name: str, target: Path) -> None:
        there = mounts.at(target)
        if there is not None and _is_folder(there):
            self._publishing.unpublish(name, target / DEVICE)
            mounts.unmount(target)
        self._publishing.unpublish(name, target)

    def _delete(self, name: str) -> None:
        stage = self._folder / name
        self._staging.unstage(name, stage)
        paths.remove("the scratch volume's folder", stage)
        with suppress(NotFound):
            self._pool.delete(name)
        log.info("deleted scratch volume %s", name)

    def _find(self, name: str) -> Disk | None:
        try:
            return self._pool.get(name)
        except NotFound:
            return None


def _check(name: str, wanted: Scratch, capability: Capability, *, read_only: bool) -> None:
    if not scratch.may_be(name):
        raise InvalidRequest(f'"{name}" is no id that kubelet gives to an inline volume')
    if capability.block:
        raise InvalidRequest(
            f"an inline volume is no raw block device; {scratch.MODE} says how it is used"
        )
    if read_only and wanted.source is None:
        raise InvalidRequest("readOnly does not go with size: nobody could fill the volume")


def _make_folder(target: Path) -> None:
    """Have a folder for a device mounted; kubelet takes a volume for gone that is not mounted."""
    there = mounts.at(target)
    if there is None:
        paths.make_directory(FIELD, target, empty=True)
        mounts.mount(Path(_FOLDER), target, "tmpfs", _FOLDER_OPTIONS)
    elif not _is_folder(there):
        raise Incompatible(f"{target} is taken by {there.source}")


def _is_folder(there: Mount) -> bool:
    return there.fstype == "tmpfs" and there.source == _FOLDER


@contextmanager
def _speaking_of(name: str, wanted: Scratch) -> Iterator[None]:
    """Have errors say what the volume is, since nobody knows it by its id."""
    try:
        yield
    except DiskError as error:
        sentence = str(error).replace(f'disk "{name}"', str(wanted))
        if sentence == str(error):
            raise
        # Some make their sentence from other arguments.
        renamed = type(error).__new__(type(error), sentence)
        raise renamed from error
