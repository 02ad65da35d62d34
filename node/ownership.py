"""Group ownership of a volume's files: what kubelet does for an fsGroup, when it delegates that."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from csi.errors import Refused

_FILE_BITS = stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP
_FOLDER_BITS = _FILE_BITS | stat.S_IXUSR | stat.S_IXGRP | stat.S_ISGID


def give(root: Path, group: int) -> None:
    """Let a group read and write all files below `root`, and own those that come.

    Does nothing when the root itself looks right already: it is changed last, so that what a kill
    cut short is done again (volume_mount_group in the CSI spec; "OnRootMismatch" in Kubernetes).

    Raises Refused when the files cannot be changed.
    """
    if _is_given(root, group):
        return
    try:
        for entry in _below(root):
            _give_one(entry, group)
        _give_one(root, group)
    except OSError as error:
        raise Refused(
            f"{error.filename or root} cannot be given to group {group}: {error.strerror}"
        ) from error


def _is_given(root: Path, group: int) -> bool:
    status = root.stat()
    return status.st_gid == group and status.st_mode & _FOLDER_BITS == _FOLDER_BITS


def _below(root: Path) -> Iterator[Path]:
    """Yield everything below a folder, on whatever depth, without following links."""
    folders = [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                yield path


def _give_one(path: Path, group: int) -> None:
    mode = path.lstat().st_mode
    os.lchown(path, -1, group)
    if not stat.S_ISLNK(mode):
        # After chown, which clears the set-id bits that the mode has.
        bits = _FOLDER_BITS if stat.S_ISDIR(mode) else _FILE_BITS
        path.chmod(stat.S_IMODE(mode) | bits)
