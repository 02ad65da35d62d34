"""Local disks: plain directories on this node, shared by all containers of an app."""

import os
import stat
import threading
from pathlib import Path

from csi import local_id
from csi.capability import Capability
from csi.errors import Incompatible, InvalidRequest, NotFound, Refused, Unavailable
from csi.local_id import LocalId
from node import comparison, mounts, ownership, paths
from node.mounts import Mount

FIELD = "target_path"

_PRIVATE = 0o700
_PUBLIC = 0o777
"""Containers run as any user, and all of an app's have to be able to write."""


class LocalDisks:
    """Makes `<root>/<app>/<name>` and binds it where workloads want it.

    Access modes, leases and sizes mean nothing here: any number of targets may use one at a time.
    """

    def __init__(self, root: Path) -> None:
        """Args: root: the folder of all local disks; made when the first one is."""
        self._root = root
        self._making = threading.Lock()

    def ensure(self, volume_id: str) -> Path:
        """Make a local disk's directory if it is not there, and return it.

        Only root can enter the root folder, so nobody on the host gets at what is below, however
        open that is; a bind mount leads around it.

        Raises:
            InvalidRequest: the id is not `local/<app>/<name>`.
            Refused: something that is no directory is in the way.
            Unavailable: the folder cannot be written.
        """
        directory = self._directory(local_id.parse(volume_id))
        try:
            with self._making:
                self._root.parent.mkdir(parents=True, exist_ok=True)
                if not self._root.is_dir():
                    _make(self._root, _PRIVATE)
                _make(directory.parent, _PRIVATE)
                _make(directory, _PUBLIC)
        except OSError as error:
            raise Unavailable(f"{directory} cannot be made: {error.strerror}") from error
        return directory

    def find(self, volume_id: str) -> Path:
        """Return a local disk's directory; raises NotFound if it was never made."""
        directory = self._directory(local_id.parse(volume_id))
        if not directory.is_dir() or directory.is_symlink() or directory.parent.is_symlink():
            raise NotFound(f'local disk "{volume_id}" does not exist')
        return directory

    def publish(
        self, volume_id: str, target: Path, capability: Capability, *, read_only: bool
    ) -> None:
        """Make the directory appear at `target`; idempotent.

        Raises:
            Incompatible: it is there in another way.
            InvalidRequest, Refused: see `ensure`, or the target is no fit place.
        """
        others = set(capability.flags) - {"ro", "rw"}
        if others:
            raise InvalidRequest(
                f'local disk "{volume_id}" is a folder of this host, whose mount flags it has; '
                f"leave out {', '.join(sorted(flag.partition('=')[0] for flag in others))}"
            )
        directory = self.ensure(volume_id)
        read_only = read_only or capability.read_only
        there = mounts.at(target)
        if there is not None:
            _compare(volume_id, directory, there, read_only=read_only)
            return
        paths.make_directory(FIELD, target, empty=True)
        if capability.group is not None and not read_only:
            ownership.give(directory, capability.group)
        mounts.bind(directory, target, read_only=read_only)

    def unpublish(self, volume_id: str, target: Path) -> None:
        """Undo `publish`; fine if there is nothing to undo.

        Raises:
            Refused: something else is at the target; it is left alone.
            DiskInUse: files there are open.
        """
        directory = self._directory(local_id.parse(volume_id))
        while there := mounts.at(target):
            if not shows(there, directory):
                raise Refused(
                    f"{FIELD} {target} shows {there.source}, which is not local disk "
                    f'"{volume_id}"; it is left alone'
                )
            mounts.unmount(target)
        paths.remove(FIELD, target)

    def _directory(self, disk: LocalId) -> Path:
        return self._root / disk.app / disk.name


def _make(folder: Path, mode: int) -> None:
    """Make a folder with exactly this mode, at once, unless there is one."""
    if os.path.lexists(folder):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise Refused(f"{folder} is not a folder but in the way of local disks; move it")
        return
    # The umask cuts the mode of mkdir; a kill before chmod must not leave that for good.
    unfinished = folder.with_name(f".{folder.name}")
    unfinished.mkdir(exist_ok=True)
    unfinished.chmod(mode)
    unfinished.rename(folder)


def shows(mount: Mount, directory: Path) -> bool:
    """Return whether a mount is a bind mount of a directory."""
    try:
        return mount.target.samefile(directory)
    except OSError:
        return False


def _compare(volume_id: str, directory: Path, there: Mount, *, read_only: bool) -> None:
    if not shows(there, directory):
        raise Incompatible(f'{there.target} is taken by {there.source}, not "{volume_id}"')
    differs = comparison.access_mismatch(there, read_only=read_only)
    if differs:
        raise Incompatible(
            f'local disk "{volume_id}" is already published at {there.target}, but {differs}'
        )
