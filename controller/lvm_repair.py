"""Mends what an LVM command that was killed has left between LVM's metadata and the kernel's.

A change to a thin pool is written down by LVM, told to the kernel by messages, and ended by a new
transaction id in both. Where nothing is active the kernel is told first; for a snapshot of an
active LV, LVM writes down first, and later sends what is still unsent with its next change.
"""

import logging

from controller import lvm_errors, lvm_lock, thin_messages
from controller.device_mapper import DeviceMapper
from controller.lvm_group import VolumeGroup
from controller.lvm_session import ForkedLvm, Reply
from controller.thin_metadata import ThinMetadata
from controller.thin_pool import ThinPool, ThinVolume

log = logging.getLogger(__name__)


class LvmRepair:
    """Keeps the kernel's idea of a thin pool in step with LVM's."""

    def __init__(self, group: VolumeGroup, pool: ThinPool, metadata: ThinMetadata) -> None:
        """Args: the group, the thin pool in it, and the kernel's metadata of that."""
        self._group = group
        self._pool = pool
        self._metadata = metadata
        self._mapper = DeviceMapper(pool.vg)

    def settle(self) -> None:
        """Bring the kernel to LVM's transaction when a killed command has parted them.

        A kernel that is ahead goes back: LVM would take its next change, whatever that is, as told
        already. One that is behind is told the rest: LVM would tell it again what it was told, and
        fail; or cut a snapshot only with its next change, when the disk has moved on.
        """
        with lvm_lock.held(self._pool.vg) as lock:
            finished = self._agree(lock)
        for volume in finished:
            # LVM still has its message in mind, and would forget the next one over it. Only with
            # the LV does it go; whoever wanted that was never answered, and asks again.
            if volume.is_ours:
                self._undo(volume)

    def _agree(self, lock: int) -> list[ThinVolume]:
        """Bring both to one transaction; returns what was created to the end for that."""
        kernel, written = self._pool.transaction(), self._pool.written_transaction()
        if kernel is None or written is None:
            return []
        if kernel == written - 1:
            unfinished = [one for one in self._pool.volumes() if one.transaction == kernel]
            return [one for one in unfinished if self._finish_creating(one, kernel, lock)]
        if kernel == written + 1:
            log.warning("an LVM command was killed; %s goes back a step", self._pool.device)
            self._pool.message(_step(kernel, written))
        if kernel in {written, written + 1}:
            self._remove_all_unfinished(written)
        return []

    def _undo(self, volume: ThinVolume) -> None:
        path = self._group.path(volume.lv)
        reply = ForkedLvm().call("lvremove", "-y", "-f", path)
        if not reply.ok and not lvm_errors.missing(reply.message, path):
            raise lvm_errors.failure(("lvremove", path), reply.message, f"LV {volume.lv}")

    def _remove_all_unfinished(self, transaction: int) -> None:
        """Remove what killed commands made in this transaction, while that can still be told.

        Once another command has moved the pool on they look like volumes that LVM has lost.
        """
        known = {volume.number for volume in self._pool.volumes()}
        for number in sorted(self._metadata.made_in(transaction) - known):
            self._remove(number)

    def _finish_creating(self, volume: ThinVolume, kernel: int, lock: int) -> bool:
        made = self._metadata.transaction_of(volume.number)
        if made not in {None, kernel}:
            log.error("LV %s has the number of an older volume; left as it is", volume.lv)
            return False
        log.warning("an LVM command was killed; LV %s is created to the end", volume.lv)
        origin = self._pool.number_of(volume.origin)
        create = f"create_thin {volume.number}"
        if origin is not None:
            create = f"create_snap {volume.number} {origin}"
        # What is there may be of an earlier one that was killed: nobody can have used it.
        messages = [create] if made is None else [f"delete {volume.number}", create]
        devices = [self._mapper.path(volume.origin)] if volume.origin else []
        thin_messages.send(
            self._pool.device,
            [*messages, _step(kernel, kernel + 1)],
            devices,
            lock,
            f"LV {volume.lv}",
        )
        return True

    def lvcreate(self, *arguments: str) -> Reply:
        """Run `lvcreate`; a volume that a killed one has left in its way is removed first."""
        reply = self._group.lvm.call("lvcreate", *arguments)
        left = lvm_errors.UNKNOWN_VOLUME.search(reply.message)
        if left and self._remove_unfinished(int(left[1])):
            return self._group.lvm.call("lvcreate", *arguments)
        return reply

    def _remove_unfinished(self, number: int) -> bool:
        """Remove a volume that LVM does not know and never knew; tell whether that was done.

        Its creation has not ended: that would have moved the pool on to another transaction. So
        nobody can ever have used it. A volume that LVM has lost is of an earlier transaction.
        """
        with lvm_lock.held(self._pool.vg):
            made = self._metadata.transaction_of(number)
            is_known = any(volume.number == number for volume in self._pool.volumes())
            if is_known or made is None or made != self._pool.transaction():
                return False
            self._remove(number)
            return True

    def _remove(self, number: int) -> None:
        log.warning(
            "removing volume %d of %s, left by a killed lvcreate", number, self._pool.device
        )
        self._pool.message(f"delete {number}")


def _step(old: int, new: int) -> str:
    return f"set_transaction_id {old} {new}"
