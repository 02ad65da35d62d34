"""A disk that gives way to another one, and whose data stays until that one is there."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from csi.errors import DiskError, Refused
from csi.kubernetes_api import Object
from deploy import console
from deploy.operate.driver import CallFailed

Control = Callable[..., Object]
"""`Driver.control`."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """How a disk is replaced. Each of its functions may raise DiskError."""

    delete: Callable[[], None]
    """Deletes the disk."""
    make: Callable[[], str]
    """Makes the one that takes its place, and says what it is."""
    make_again: Callable[[str], object]
    """Makes the disk again, from the snapshot of this name."""


def replace(control: Control, disk: str, how: Replacement) -> str:
    """Replace a disk; return what `how.make` says.

    A snapshot has the disk's data until the other disk is there. Whatever ends this in the middle
    leaves that snapshot, or the disk.

    Raises:
        Refused: the other disk could not be made; the old one is there again, or its snapshot.
        DiskError: the disk could not even be deleted, and is as it was.
    """
    snapshot = f"replaced-{secrets.token_hex(4)}"
    control("CreateSnapshot", source_volume_id=disk, name=snapshot)
    try:
        try:
            how.delete()
        except DiskError:
            if _exists(control, disk):
                control("DeleteSnapshot", snapshot_id=snapshot)
            raise
        made = _make(control, disk, snapshot, how)
    except BaseException:
        _tell_what_is_left(control, disk, snapshot)
        raise
    control("DeleteSnapshot", snapshot_id=snapshot)
    return made


def _make(control: Control, disk: str, snapshot: str, how: Replacement) -> str:
    try:
        return how.make()
    except DiskError as error:
        if _exists(control, disk):
            # Made after all, when only the answer was lost: nobody but its owner can tell.
            raise
        how.make_again(snapshot)
        control("DeleteSnapshot", snapshot_id=snapshot)
        raise Refused(
            f'disk "{disk}" has its old data again, for what was to replace it could not be made: '
            f"{error}"
        ) from error


def _tell_what_is_left(control: Control, disk: str, snapshot: str) -> None:
    try:
        control("GetSnapshot", snapshot_id=snapshot)
    except CallFailed as error:
        if error.code == "NOT_FOUND":
            return
    except DiskError:
        pass  # it was there when it was heard of last
    console.say(
        f'warning: snapshot "{snapshot}" has the old data of disk "{disk}": '
        f"kubectl miren disk snapshot restore {snapshot} --as NEW"
    )


def _exists(control: Control, disk: str) -> bool:
    try:
        control("ControllerGetVolume", volume_id=disk)
    except CallFailed as error:
        if error.code == "NOT_FOUND":
            return False
        raise
    return True
