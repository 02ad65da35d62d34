"""Snapshots as image files of their own: whole copies, so disks and clones do not need them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

from controller import group_note, image_cut, image_data, image_facts
from controller.image_cut import Copy
from controller.image_file import Draft, reporting
from controller.image_store import ImageStore
from csi.disk import Content, Disk, Extent, NewSnapshot, Snapshot
from csi.errors import snapshot_not_found
from csi.files import opened
from node.loop_device import LoopDevices


class LoopSnapshots:
    """The snapshots of one pool."""

    def __init__(
        self, disks: ImageStore[Disk], images: ImageStore[Snapshot], devices: LoopDevices
    ) -> None:
        """Args: the disks they are cut from; where they are kept; the disks' loop devices."""
        self._disks = disks
        self._images = images
        self._devices = devices

    def create(self, wanted: Sequence[NewSnapshot]) -> list[Snapshot]:
        """Cut the snapshots that do not exist yet, at one moment, all or none."""
        new = {one.name: one for one in wanted if self._images.find(one.name) is None}
        with reporting(f"cannot cut {' and '.join(_called(one.name) for one in wanted)}"):
            if new:
                self._cut(list(new.values()))
            self._images.sync()
        return [self._images.get(one.name) for one in wanted]

    def _cut(self, wanted: Sequence[NewSnapshot]) -> None:
        # Before the cut: a disk that is formatted now will be so in the copy as well.
        origins = [self._disks.get(one.disk) for one in wanted]
        with ExitStack() as stack:
            drafts = [stack.enter_context(self._images.draft()) for _ in wanted]
            moment = image_cut.cut(
                [
                    Copy(f'disk "{disk.name}"', self._disks.path(disk.name), draft)
                    for disk, draft in zip(origins, drafts, strict=True)
                ],
                self._devices,
            )
            made = [
                (_snapshot(one, disk, draft.size, moment), draft)
                for one, disk, draft in zip(wanted, origins, drafts, strict=True)
            ]
            self._publish(made)

    def _publish(self, made: Sequence[tuple[Snapshot, Draft]]) -> None:
        for snapshot, draft in made:
            draft.describe(image_facts.encode(snapshot))
        members = {self._images.path(snapshot.name): draft for snapshot, draft in made}
        is_group = len(members) > 1
        with group_note.noted(self._images.folder, members) if is_group else nullcontext():
            for snapshot, draft in made:
                self._images.publish(draft, snapshot)

    def get(self, name: str) -> Snapshot:
        """Return the snapshot, or raise NotFound."""
        return self._images.get(name)

    def list(self) -> list[Snapshot]:
        """Return all snapshots, sorted by name."""
        return [entry.thing for entry in self._images.entries()]

    def delete(self, snapshots: Sequence[str]) -> None:
        """Delete those that exist."""
        for name in snapshots:
            if self._images.find(name):
                self._images.remove(name)

    def allocated(self, snapshot: Snapshot) -> Iterator[Extent]:
        """Yield the written extents of a snapshot."""
        with self._reading(snapshot) as fd:
            yield from image_data.written(fd, snapshot.size)

    def changed(self, base: Snapshot, target: Snapshot) -> Iterator[Extent]:
        """Yield the extents whose content differs between two snapshots."""
        size = max(base.size, target.size)
        with self._reading(base) as before, self._reading(target) as after:
            yield from image_data.differing(before, after, size)

    @contextmanager
    def _reading(self, snapshot: Snapshot) -> Iterator[int]:
        try:
            with opened(self._images.path(snapshot.name)) as fd:
                yield fd
        except FileNotFoundError:
            raise snapshot_not_found(snapshot.name) from None


def _snapshot(wanted: NewSnapshot, disk: Disk, size: int, moment: int) -> Snapshot:
    formatted = disk.content is Content.FORMATTED
    return Snapshot(
        name=wanted.name,
        disk=disk.name,
        size=size,
        created_ns=moment,
        group=wanted.group,
        filesystem=disk.filesystem,
        content=Content.FORMATTED if formatted else Content.RAW,
    )


def _called(name: str) -> str:
    return f'snapshot "{name}"'
