"""Mends what an LVM command that was killed has left between LVM's metadata and the kernel's.

A change to a thin pool is written down by LVM, told to the kernel by messages, and ended by a new
transaction id in both. Where nothing is active the kernel is told first; for a snapshot of an
active LV, LVM writes down first, and later sends what is still unsent with its next change.
"""

import logging
import secrets

from controller import lvm_errors, lvm_lock, thin_messages
from controller.device_mapper import DeviceMapper
from controller.lvm_group import VolumeGroup
from controller.lvm_session import ForkedLvm, Reply
from controller.thin_metadata import ThinMetadata
from controller.thin_pool import ThinPool, ThinVolume

log = logging.getLogger(__name__)

_CLEARING = "miren-clears-message-"
"""How the names of LVs begin that are there for a moment, and nobody's."""


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
            is_stale = self._is_told() and self._pool.has_message()
            made = [one.lv for one in self._pool.volumes() if one.lv.startswith(_CLEARING)]
        # LVM still has its message in mind, and would forget the next one over it. With the LV it
        # goes; whoever wanted that was never answered, and asks again.
        if finished and finished.is_ours:
            self._remove(finished.lv)
        elif is_stale:
            cleared = self._clear_message()
            if cleared is None:
                return  # of what is removed now, the kernel would hear nothing
            made.append(cleared)
        for lv in made:
            self._remove(lv)

    def _is_told(self) -> bool:
        kernel = self._pool.transaction()
        return kernel is not None and kernel == self._pool.written_transaction()

    def _clear_message(self) -> str | None:
        """Have LVM forget what it has told the kernel already; returns the LV made for that.

        It was killed before it could write down the end. Only `lvcreate` clears that first:
        `lvremove` would tell the kernel nothing of what it removes, and the next volume would get
        the number of one that is still there.
        """
        log.warning("an LVM command was killed; %s is cleared of its message", self._pool.device)
        pool = self._group.path(self._pool.name)
        lv = f"{_CLEARING}{secrets.token_hex(4)}"
        made = ForkedLvm().call("lvcreate", "-y", "-V", "4M", "-T", pool, "-n", lv)
        if not made.ok:
            log.error("LVM cannot be told to forget its message: %s", made.message)
            return None
        return lv

    def _agree(self, lock: int) -> ThinVolume | None:
        """Bring both to one transaction; returns what was created to the end for that."""
        kernel, written = self._pool.transaction(), self._pool.written_transaction()
        if kernel is None or written is None:
            return None
        if kernel == written - 1:
            return self._finish_creating(kernel, lock)
        if kernel == written + 1:
            log.warning("an LVM command was killed; %s goes back a step", self._pool.device)
            self._pool.message(_step(kernel, written))
        if kernel in {written, written + 1}:
            self._remove_unfinished(written)
        return None

    def _remove(self, lv: str) -> None:
        path = self._group.path(lv)
        reply = ForkedLvm().call("lvremove", "-y", "-f", path)
        if not reply.ok and not lvm_errors.missing(reply.message, path):
            raise lvm_errors.failure(("lvremove", path), reply.message, f"LV {lv}")

    def _finish_creating(self, kernel: int, lock: int) -> ThinVolume | None:
        """Tell the kernel the rest of what makes an LV; returns the one that is there then."""
        volumes, made = self._pool.volumes(), self._metadata.made()
        wanted = next((one for one in volumes if one.transaction == kernel), None)
        if wanted is None:
            return None  # LVM can repeat what removes one
        if made.get(wanted.number, kernel) != kernel:
            log.error("LV %s has the number of an older volume; left as it is", wanted.lv)
            return None
        log.warning("an LVM command was killed; LV %s is created to the end", wanted.lv)
        origin = next((one.number for one in volumes if one.lv == wanted.origin), None)
        create = f"create_thin {wanted.number}"
        if origin is not None:
            create = f"create_snap {wanted.number} {origin}"
        # What is there may be of an earlier one that was killed: nobody can have used it.
        delete = [f"delete {wanted.number}"] if wanted.number in made else []
        messages = [*delete, create, _step(kernel, kernel + 1)]
        origins = [self._mapper.path(wanted.origin)] if wanted.origin else []
        thin_messages.send(self._pool.device, messages, origins, lock, f"LV {wanted.lv}")
        return wanted

    def lvcreate(self, *arguments: str) -> Reply:
        """Run `lvcreate`; a volume that a killed one has left in its way is removed first."""
        reply = self._group.lvm.call("lvcreate", *arguments)
        if not lvm_errors.UNKNOWN_VOLUME.search(reply.message):
            return reply
        with lvm_lock.held(self._pool.vg):
            kernel = self._pool.transaction()
            removed = kernel is not None and self._remove_unfinished(kernel)
        return self._group.lvm.call("lvcreate", *arguments) if removed else reply

    def _remove_unfinished(self, transaction: int) -> bool:
        """Remove the volumes of this transaction that LVM does not know; tell if there were any.

        Their creation has not ended: that would have moved the pool on to another transaction. So
        nobody can ever have used them. A volume that LVM has lost is of an earlier transaction;
        once another command has moved the pool on, these look like one.
        """
        known = {volume.number for volume in self._pool.volumes()}
        made = self._metadata.made()
        left = sorted(one for one in made.keys() - known if made[one] == transaction)
        for number in left:
            log.warning(
                "removing volume %d of %s, left by a killed lvcreate", number, self._pool.device
            )
            self._pool.message(f"delete {number}")
        return bool(left)


def _step(old: int, new: int) -> str:
    return f"set_transaction_id {old} {new}"
