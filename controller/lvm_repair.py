"""Mends what an LVM command that was killed has told the kernel, but not written down.

For a change to a thin pool LVM writes its metadata to a second place, tells the kernel, and only
then makes that metadata the valid one.
"""

import logging

from controller import lvm_errors, lvm_lock
from controller.lvm_group import VolumeGroup
from controller.lvm_session import Reply
from controller.thin_metadata import ThinMetadata
from controller.thin_pool import ThinPool

log = logging.getLogger(__name__)


class LvmRepair:
    """Keeps the kernel's idea of a thin pool in step with LVM's."""

    def __init__(self, group: VolumeGroup, pool: ThinPool, metadata: ThinMetadata) -> None:
        """Args: the group, the thin pool in it, and the kernel's metadata of that."""
        self._group = group
        self._pool = pool
        self._metadata = metadata

    def settle(self) -> None:
        """Take back the step that the kernel is ahead of LVM, if it is.

        LVM would take its next change, whatever that is, as told already.
        """
        with lvm_lock.held(self._pool.vg):
            kernel, written = self._pool.transaction(), self._pool.written_transaction()
            if kernel is not None and written is not None and kernel == written + 1:
                log.warning("an LVM command was killed; %s goes back a step", self._pool.device)
                self._pool.message(f"set_transaction_id {kernel} {written}")

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
            is_known = number in self._pool.ids().values()
            if is_known or made is None or made != self._pool.transaction():
                return False
            log.warning(
                "removing volume %d of %s, left by a killed lvcreate", number, self._pool.device
            )
            self._pool.message(f"delete {number}")
            return True
