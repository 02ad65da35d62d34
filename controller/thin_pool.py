"""A thin pool as the kernel has it: volumes by numbers, told apart from what LVM knows of them."""

import logging
import re

from controller import lvm_errors, lvm_lock
from controller.device_mapper import DeviceMapper
from controller.lvm_session import ForkedLvm, Lvm, Reply
from controller.thin_metadata import ThinMetadata
from csi import programs

log = logging.getLogger(__name__)

_LEFT = re.compile(r"already contain thin device with device_id (\d+)")


class ThinPool:
    """One thin pool of a volume group."""

    def __init__(self, vg: str, name: str) -> None:
        """Args: the volume group and its thin pool."""
        self.vg = vg
        self.name = name
        self.device = DeviceMapper(vg).path(name, "-tpool").name
        """The name that dmsetup(8) takes."""

    def ids(self) -> dict[str, int]:
        """Return the numbers of the LVs in the pool; to be called under LVM's lock."""
        argv = ("lvs", "-a", "--nolocking", "-o", "lv_name,thin_id,pool_lv", self.vg)
        reply = ForkedLvm().call(*argv)
        if not reply.ok:
            raise lvm_errors.failure(argv, reply.message, f"VG {self.vg}")
        rows = (row for row in reply.rows if row["pool_lv"].strip("[]") == self.name)
        return {row["lv_name"]: int(row["thin_id"]) for row in rows}

    def lvcreate(self, lvm: Lvm, *arguments: str) -> Reply:
        """Run `lvcreate`; a volume that a killed one has left in its way is removed first."""
        reply = lvm.call("lvcreate", *arguments)
        left = _LEFT.search(reply.message)
        if left and self._remove_unfinished(int(left[1])):
            return lvm.call("lvcreate", *arguments)
        return reply

    def settle(self) -> None:
        """Take back the step that the kernel is ahead of LVM, if it is.

        LVM tells the kernel of a change first and writes it down then. If it is killed in between,
        it would take the next change, whatever that is, as told already.
        """
        with lvm_lock.held(self.vg):
            argv = ("lvs", "--nolocking", "-o", "transaction_id", f"{self.vg}/{self.name}")
            reply = ForkedLvm().call(*argv)
            kernel = self._transaction()
            if not reply.ok or kernel is None or not reply.rows[0]["transaction_id"]:
                return
            written = int(reply.rows[0]["transaction_id"])
            if kernel == written + 1:
                log.warning("an LVM command was killed; %s goes back a step", self.device)
                self._message(f"set_transaction_id {kernel} {written}")

    def _remove_unfinished(self, number: int) -> bool:
        """Remove a volume that LVM does not know and never knew; tell whether that was done.

        Its creation has not ended: that would have moved the pool on to another transaction. So
        nobody can ever have used it. A volume that LVM has lost is of an earlier transaction.
        """
        with lvm_lock.held(self.vg):
            made = ThinMetadata(self.vg, self.name).transaction_of(number)
            if number in self.ids().values() or made is None or made != self._transaction():
                return False
            log.warning("removing volume %d of %s, left by a killed lvcreate", number, self.device)
            self._message(f"delete {number}")
            return True

    def _transaction(self) -> int | None:
        done = programs.run(["dmsetup", "status", self.device], accept=range(256))
        words = done.stdout.split()
        return int(words[3]) if done.status == 0 and words[2:3] == ["thin-pool"] else None

    def _message(self, text: str) -> None:
        programs.run(["dmsetup", "message", self.device, "0", text])
