"""What the kernel shows of a volume group's devices, read from /dev and /sys without a program."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

_MAPPER = Path("/dev/mapper")
_BLOCK = Path("/sys/block")


class DeviceMapper:
    """The device-mapper devices of one volume group."""

    def __init__(self, vg: str) -> None:
        """Args: vg: the volume group's name."""
        self._prefix = f"{_escape(vg)}-"

    def path(self, lv: str, layer: str = "") -> Path:
        """Return the device of an LV, or of a hidden layer of it such as `tpool` or `tmeta`.

        libdevmapper writes hyphens in names twice and parts with a single one.
        """
        return _MAPPER / (self._prefix + _escape(lv) + layer)

    def is_ours(self, device: str) -> bool:
        """Tell whether a device (as the mount table shows it) is a disk of this driver."""
        return self._disk(Path(device).name) is not None

    def suspended(self) -> list[str]:
        """Return the LVs of our disks that are suspended."""
        return [lv for lv, device in self._devices() if _is_suspended(device)]

    def _devices(self) -> Iterator[tuple[str, Path]]:
        for device in _BLOCK.glob("dm-*"):
            lv = self._disk(_read(device / "dm" / "name"))
            if lv is not None:
                yield lv, device

    def _disk(self, name: str) -> str | None:
        if not name.startswith(self._prefix):
            return None
        lv = name.removeprefix(self._prefix).replace("--", "-")
        return lv if re.fullmatch(r"disk-.*[0-9a-f]{16}", lv) else None


def is_suspended(device: Path) -> bool:
    """Tell whether all input and output of a device in /dev/mapper is held up now."""
    try:
        number = os.minor(device.stat().st_rdev)
    except FileNotFoundError:
        return False
    # Where udev runs, the path is a link to /dev/dm-N; elsewhere it is a node of its own.
    return _is_suspended(_BLOCK / f"dm-{number}")


def _escape(name: str) -> str:
    return name.replace("-", "--")


def _is_suspended(device: Path) -> bool:
    return _read(device / "dm" / "suspended") == "1"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
