"""A folder of image files of one kind: disks, or snapshots. Other files in it are left alone."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from controller import image_facts, image_file, names
from controller.image_file import Draft
from csi.disk import Disk, Snapshot
from csi.errors import Incompatible, NotFound, disk_not_found, snapshot_not_found

_SUFFIX = ".img"

Thing = TypeVar("Thing", Disk, Snapshot)


@dataclass(frozen=True, slots=True)
class Entry(Generic[Thing]):
    """An image: what it is, and how many bytes it takes."""

    thing: Thing
    allocated: int


class ImageStore(Generic[Thing]):
    """The images of one kind; an image's name leads straight to its file."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        decode: Callable[[bytes, int], Thing | None],
        missing: Callable[[str], NotFound],
    ) -> None:
        """Args: the folder, the kind for `names.stem`, a reader of facts, the error for a miss."""
        self.folder = folder
        self._kind = kind
        self._decode: Callable[[bytes, int], Thing | None] = decode
        self._missing = missing

    def path(self, name: str) -> Path:
        """Return where the image of that name is, or would be."""
        return self.folder / (names.stem(self._kind, name) + _SUFFIX)

    def find(self, name: str) -> Thing | None:
        """Return what the image of that name is; None if there is none."""
        entry = self._read(self.path(name))
        return entry.thing if entry and entry.thing.name == name else None

    def get(self, name: str) -> Thing:
        """Return what the image of that name is, or raise NotFound."""
        thing = self.find(name)
        if thing is None:
            raise self._missing(name)
        return thing

    def entries(self) -> list[Entry[Thing]]:
        """Return all images, sorted by name."""
        found = ((path, self._read(path)) for path in self.folder.iterdir() if _is_image(path))
        # A copy that somebody made of an image claims to be what it is not.
        ours = [entry for path, entry in found if entry and self.path(entry.thing.name) == path]
        return sorted(ours, key=lambda entry: entry.thing.name)

    def _read(self, path: Path) -> Entry[Thing] | None:
        attribute = image_file.facts(path)
        if attribute is None:
            return None
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        thing = self._decode(attribute, status.st_size)
        return Entry(thing, status.st_blocks * 512) if thing else None

    def draft(self) -> AbstractContextManager[Draft]:
        """Yield a new image that can be published here."""
        return image_file.draft(self.folder)

    def publish(self, draft: Draft, thing: Thing) -> Thing:
        """Give a described draft its name, durable after `sync`, and return what it is.

        Returns the image that has the name already if there is one. Raises Incompatible when a
        file of somebody else's has it.
        """
        path = self.path(thing.name)
        try:
            draft.publish(path)
        except FileExistsError:
            existing = self.find(thing.name)
            if existing is None:
                raise Incompatible(
                    f'"{thing.name}" needs the file {path}, which is not ours: it lacks the '
                    f"attribute {image_facts.ATTRIBUTE}; move it away"
                ) from None
            return existing
        return thing

    @contextmanager
    def locked(self, name: str) -> Iterator[int]:
        """Keep others from changing the image; yields a descriptor; raises NotFound."""
        self.get(name)
        try:
            with image_file.locked(self.path(name)) as fd:
                yield fd
        except FileNotFoundError:
            raise self._missing(name) from None

    def change(self, name: str, changed: Callable[[Thing], Thing]) -> Thing:
        """Replace what the image says it is, durably; raises NotFound."""
        with self.locked(name) as fd:
            thing = changed(self.get(name))
            image_file.set_facts(fd, image_facts.encode(thing))
        return thing

    def remove(self, name: str) -> None:
        """Delete the image, durably; fine if it is gone."""
        self.path(name).unlink(missing_ok=True)
        self.sync()

    def sync(self) -> None:
        """Make durable which images there are."""
        image_file.sync(self.folder)


def disk_store(folder: Path) -> ImageStore[Disk]:
    """Return the store of disks in a folder."""
    return ImageStore(folder, names.DISK, image_facts.decode_disk, disk_not_found)


def snapshot_store(folder: Path) -> ImageStore[Snapshot]:
    """Return the store of snapshots in a folder."""
    return ImageStore(folder, names.SNAPSHOT, image_facts.decode_snapshot, snapshot_not_found)


def _is_image(path: Path) -> bool:
    return path.suffix == _SUFFIX and names.is_stem(path.stem)
