"""XFS: making, growing, and giving a clone its own UUID."""

from pathlib import Path

from csi import programs
from csi.errors import Refused
from node import device_programs, mounts

_REPLAY = ("nouuid",)
_NO_REPLAY = ("nouuid", "ro", "norecovery")


class Xfs:
    """For large files and much throughput."""

    minimum_size = 300 << 20
    options = ()
    read_only_options = ("norecovery",)

    def make(self, device: Path) -> None:
        """Format without discarding, which is pointless on a new thin device."""
        device_programs.run(device, ("mkfs.xfs", "-q", "-f", "-K", str(device)))

    def check(self, _device: Path) -> None:
        """Do nothing: the mount replays the log, which is all that a crash asks for."""

    def grow(self, _device: Path, target: Path) -> None:
        """Grow to the size of the device; XFS does this only while mounted."""
        programs.run(("xfs_growfs", str(target)))

    def renew_uuid(self, device: Path, target: Path) -> None:
        """Give the unmounted filesystem a new random UUID; safe to redo after a kill.

        The log belongs to the UUID: it has to be replayed first, by a mount, and xfs_admin writes
        it anew. A kill in the middle of that leaves no usable log, hence no mount, until
        xfs_repair has made one. Nothing is lost then, as the log had been replayed.
        """
        try:
            self._replay(device, target)
        except Refused:
            self._refuse_unless_log_is_to_blame(device, target)
            device_programs.run(device, ("xfs_repair", "-L", str(device)))
        device_programs.run(device, ("xfs_admin", "-U", "generate", str(device)))

    def _replay(self, device: Path, target: Path) -> None:
        mounts.mount(device, target, "xfs", _REPLAY)
        mounts.unmount(target)

    def _refuse_unless_log_is_to_blame(self, device: Path, target: Path) -> None:
        mounts.mount(device, target, "xfs", _NO_REPLAY)
        mounts.unmount(target)
