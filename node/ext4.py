"""ext4: making, checking, growing, and giving a clone its own UUID."""

from pathlib import Path

from csi import programs
from csi.errors import ProgramFailed, Refused
from node import block_device, device_programs, superblock

_STATUS = Path("/proc/thread-self/status")
_CAP_SYS_RESOURCE = 24

_REPAIRED = 1
"""e2fsck's exit status for errors that are mended now; higher ones mean that some are left."""


class Ext4:
    """The default filesystem of disks."""

    minimum_size = 4 << 20
    options = ("errors=remount-ro",)
    """Stops writing at the first error, whatever the superblock says: one that a user made on a
    raw device may say `panic`."""
    read_only_options = ("noload",)

    def make(self, device: Path) -> None:
        """Format, writing as little as possible: the kernel fills in tables later.

        Discarding is pointless on a new thin device. With metadata_csum_seed a clone's UUID can
        change without all checksums being written anew.
        """
        features = ("-O", "metadata_csum_seed", "-e", "remount-ro", "-m", "0")
        lazy = ("-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1")
        device_programs.run(device, ("mkfs.ext4", "-q", "-F", *features, *lazy, str(device)))

    def check(self, device: Path) -> None:
        """Mend what a crash left, as at boot; raises Refused if that needs a person."""
        found = superblock.read(device, "ext4")
        if found is None:
            return
        if found.size < block_device.size(device) and not _may_grow_while_mounted():
            self._preen(device, "-f")
            device_programs.run(device, ("resize2fs", str(device)))
        elif not found.clean:
            # For a clean one, e2fsck would look at the same bits and end: no need to start it.
            self._preen(device)

    def _preen(self, device: Path, *how: str) -> None:
        try:
            argv = ("e2fsck", "-p", *how, str(device))
            device_programs.run(device, argv, accept=(0, _REPAIRED))
        except ProgramFailed as error:
            raise Refused(
                f"the ext4 filesystem on {device} is damaged and cannot be mended without a "
                f"person; take a snapshot, then run: e2fsck {device} ({error})"
            ) from error

    def grow(self, device: Path, _target: Path) -> None:
        """Grow to the size of the device while mounted, which Linux lets only some root do."""
        try:
            programs.run(("resize2fs", str(device)))
        except ProgramFailed as error:
            if _may_grow_while_mounted():
                raise
            raise Refused(
                f"the ext4 filesystem on {device} cannot grow while it is mounted, as this driver "
                "lacks the capability CAP_SYS_RESOURCE; give it that, or stop what uses the disk: "
                "it grows when it is staged the next time"
            ) from error

    def renew_uuid(self, device: Path, _target: Path) -> None:
        """Give the unmounted filesystem a new random UUID; safe to redo after a kill."""
        self.check(device)
        renew = ("tune2fs", "-U", "random", str(device))
        try:
            device_programs.run(device, renew)
        except ProgramFailed:
            # Without metadata_csum_seed all checksums change, which wants a full check first.
            self._preen(device, "-f")
            device_programs.run(device, ("tune2fs", "-f", *renew[1:]))


def _may_grow_while_mounted() -> bool:
    lines = _STATUS.read_text().splitlines()
    effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> _CAP_SYS_RESOURCE & 1)
