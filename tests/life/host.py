"""What a host shows of a driver's work: mounts, devices, processes; and how to clear them away."""

import contextlib
import errno
import fcntl
import os
import subprocess
from pathlib import Path

CAP_SYS_RESOURCE = 24
_THAW = 0xC0045878  # FITHAW, linux/fs.h


class Host:
    """This machine, as far as it concerns what lies below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mounts(self) -> list[Path]:
        """Where something is mounted, older mounts first."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        targets = (Path(line.split()[4].replace("\\040", " ")) for line in lines)
        return [target for target in targets if target.is_relative_to(self._folder)]

    def loop_devices(self) -> list[Path]:
        """Loop devices whose file lies here."""
        return [
            Path("/dev", backing.parent.parent.name)
            for backing in Path("/sys/block").glob("loop*/loop/backing_file")
            if Path(_read(backing)).is_relative_to(self._folder)
        ]

    def device_of(self, target: Path) -> Path:
        """What holds the mounted bytes for good: the file of a loop device, else the device."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        (line,) = (line for line in lines if line.split()[4] == str(target))
        device = Path(line.partition(" - ")[2].split()[1])
        backing = _read(Path("/sys/block", device.name, "loop/backing_file"))
        return Path(backing) if backing else device

    def suspended_devices(self) -> list[str]:
        """Names of device-mapper devices that hold all writes up."""
        states = Path("/sys/block").glob("dm-*/dm/suspended")
        return [_read(state.with_name("name")) for state in states if _read(state) == "1"]

    def clear(self) -> None:
        """Unmount everything and let go of all loop devices, as after a reboot."""
        for device in self.loop_devices():  # those in use go when they are unmounted
            subprocess.run(["losetup", "--detach", device], check=True)
        for target in reversed(self.mounts()):
            with contextlib.suppress(OSError):
                was_frozen(target)  # else unmounting it could take forever
            subprocess.run(["umount", "--lazy", target], check=True)


def has_capability(number: int) -> bool:
    """Whether root may do what capabilities(7) gives that number to."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (effective,) = (line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)


def was_frozen(mounted: Path) -> bool:
    """Whether the filesystem was frozen; it is not any more (ioctl_fsfreeze: EINVAL if thawed)."""
    descriptor = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, _THAW, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    finally:
        os.close(descriptor)
    return True


def descendants(pid: int) -> list[int]:
    """The process ids of a process's children, of theirs, and so on."""
    try:
        found = list(Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:  # it has just ended
        return []
    pids = [int(word) for file in found for word in _read(file).split()]
    return pids + [grandchild for child in pids for grandchild in descendants(child)]


def command_of(pid: int) -> list[str]:
    """The program that a process runs, without its folder, and its arguments."""
    program, *arguments = _read(Path(f"/proc/{pid}/cmdline")).rstrip("\0").split("\0")
    return [Path(program).name, *arguments]


def _read(path: Path) -> str:
    """A file's text, empty when what it describes has just gone."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
