"""A thin pool as the kernel has it: volumes by numbers, transactions, messages."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from controller import lvm_errors, lvm_tags
from controller.device_mapper import DeviceMapper
from controller.lvm_session import ForkedLvm, Row
from csi import programs

_MESSAGE = re.compile(r"^\s*message\d+ \{", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ThinVolume:
    """An LV in the pool, as LVM has it written down."""

    lv: str
    number: int
    """The kernel's name for it."""
    transaction: int
    """The pool's transaction that made it."""
    origin: str
    """The LV that it is a snapshot of, or empty."""
    is_ours: bool
    """Whether this driver has made it."""


class ThinPool:
    """One thin pool of a volume group."""

    def __init__(self, vg: str, name: str) -> None:
        """Args: the volume group and its thin pool."""
        mapper = DeviceMapper(vg)
        self.vg = vg
        self.name = name
        self.device = mapper.path(name, "-tpool").name
        """The name that dmsetup(8) takes."""
        self.metadata_device = mapper.path(name, "_tmeta")
        """What thin_dump(8) and its like read."""

    def message(self, text: str) -> None:
        """Tell the kernel something (kernel docs, device-mapper/thin-provisioning, "Messages").

        Raises ProgramFailed when it refuses.
        """
        programs.run(["dmsetup", "message", self.device, "0", text])

    def transaction(self) -> int | None:
        """Return the kernel's transaction id; None when the pool is not active."""
        done = programs.run(["dmsetup", "status", self.device], accept=range(256))
        words = done.stdout.split()
        return int(words[3]) if words[2:3] == ["thin-pool"] else None

    def written_transaction(self) -> int | None:
        """Return LVM's transaction id, under LVM's lock; None when the pool is gone."""
        written = [row["transaction_id"] for row in self._rows() if row["lv_name"] == self.name]
        return int(written[0]) if written else None

    def volumes(self) -> list[ThinVolume]:
        """Return the LVs in the pool; to be called under LVM's lock."""
        return [_volume(row) for row in self._rows() if row["pool_lv"].strip("[]") == self.name]

    def has_message(self) -> bool:
        """Tell whether LVM has a message for the kernel written down, under LVM's lock."""
        with tempfile.NamedTemporaryFile("r", prefix="miren-csi-vg-") as text:
            argv = ("vgcfgbackup", "--nolocking", "-f", text.name, self.vg)
            reply = ForkedLvm().call(*argv)
            if not reply.ok:
                raise lvm_errors.failure(argv, reply.message, f"VG {self.vg}")
            written = Path(text.name).read_text()
        _, _, of_pool = written.partition(f"\n\t\t{self.name} {{\n")
        return _MESSAGE.search(of_pool.partition("\n\t\t}\n")[0]) is not None

    def _rows(self) -> list[Row]:
        fields = "lv_name,thin_id,pool_lv,transaction_id,origin,lv_tags"
        argv = ("lvs", "-a", "--nolocking", "-o", fields, self.vg)
        reply = ForkedLvm().call(*argv)
        if not reply.ok:
            raise lvm_errors.failure(argv, reply.message, f"VG {self.vg}")
        return reply.rows


def _volume(row: Row) -> ThinVolume:
    return ThinVolume(
        lv=row["lv_name"],
        number=int(row["thin_id"]),
        transaction=int(row["transaction_id"]),
        origin=row["origin"].strip("[]"),
        is_ours=lvm_tags.is_ours(row),
    )
