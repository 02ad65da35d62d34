"""One volume group as this driver sees it: commands, rows, and errors in the domain's words."""

from collections.abc import Sequence

from controller import lvm_errors
from controller.lvm_session import Lvm, Reply, Row
from csi.errors import NotFound, Unavailable

_FIELDS = "lv_name,lv_size,lv_tags,lv_read_ahead,thin_id,pool_lv"
_POOL_FIELDS = "lv_layout,vg_extent_size,data_percent,metadata_percent"


class VolumeGroup:
    """Runs commands on one volume group and looks its LVs up."""

    def __init__(self, name: str, lvm: Lvm) -> None:
        """Args: name: of the volume group; lvm: what runs the commands."""
        self.name = name
        self.lvm = lvm

    def path(self, lv: str) -> str:
        """Return VG/LV."""
        return f"{self.name}/{lv}"

    def row(self, lv: str) -> Row | None:
        """Return the facts of one LV, or None when there is none of that name."""
        reply = self.lvm.call("lvs", "-o", _FIELDS, self.path(lv))
        if reply.ok:
            return reply.rows[0]
        if lvm_errors.MISSING_LV.search(reply.message):
            return None
        raise lvm_errors.failure(("lvs", self.path(lv)), reply.message, self.path(lv))

    def rows(self) -> list[Row]:
        """Return the facts of all visible LVs of the group, ours or not."""
        reply = self.lvm.call("lvs", "-o", f"{_FIELDS},{_POOL_FIELDS}", self.name)
        if not reply.ok:
            raise lvm_errors.failure(("lvs", self.name), reply.message, f"VG {self.name}")
        return reply.rows

    def must(self, subject: str, *argv: str) -> Reply:
        """Run a command about `subject`; raises NotFound when its LV is missing, or what fits."""
        return self.expect(subject, argv, self.lvm.call(*argv))

    def expect(self, subject: str, argv: Sequence[str], reply: Reply) -> Reply:
        """Return the reply of a command that succeeded; raises as `must` does otherwise."""
        if reply.ok:
            return reply
        if lvm_errors.MISSING_LV.search(reply.message):
            raise NotFound(f"{subject} does not exist")
        raise lvm_errors.failure(tuple(argv), reply.message, subject)

    def thin_pool_row(self, thin_pool: str) -> Row:
        """Return the facts of the thin pool itself; raises Unavailable when it is gone."""
        for row in self.rows():
            if row["lv_name"] == thin_pool:
                return row
        raise Unavailable(f"the thin pool {self.path(thin_pool)} is gone")
