"""What an operator of the host does with a pool's devices: format, mount, look, check."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHECKS = {
    "ext4": ("e2fsck", "-fn"),
    "xfs": ("xfs_repair", "-n"),
    "btrfs": ("btrfs", "check", "--readonly"),
}
"""What finds every fault of a filesystem and mends none."""


@contextlib.contextmanager
def xfs(place: Path, size: int) -> Iterator[Path]:
    """A folder on XFS, which has reflinks; `place` is made, and holds its image."""
    image, mounted = place / "xfs.img", place / "mounted"
    mounted.mkdir(parents=True)
    with image.open("xb") as file:
        file.truncate(size)
    run("mkfs.xfs", "-q", image)
    run("mount", "-o", "loop", image, mounted)
    try:
        yield mounted
    finally:
        run("umount", mounted)


_touching: list["subprocess.Popen[bytes]"] = []
"""Programs that wait for a filesystem to thaw, and keep it in use until they are done."""


class Host:
    """Formats and mounts devices; nothing stays mounted after the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounted: list[Path] = []

    def format(self, device: Path, filesystem: str) -> None:
        options = ["-E", "nodiscard"] if filesystem == "ext4" else ["-K"]
        run(f"mkfs.{filesystem}", "-q", *options, device)

    def mount(self, device: Path, *options: str) -> Path:
        """Mount a device at a new place."""
        target = Path(tempfile.mkdtemp(prefix="mount-", dir=self._folder))
        run("mount", *(("-o", ",".join(options)) if options else ()), device, target)
        self._mounted.append(target)
        return target

    def mount_memory(self, size: int) -> Path:
        """Mount a filesystem of so many bytes that is in memory only."""
        target = Path(tempfile.mkdtemp(prefix="memory-", dir=self._folder))
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", target)
        self._mounted.append(target)
        return target

    def bind(self, source: Path, target: Path) -> None:
        run("mount", "--bind", source, target)
        self._mounted.append(target)

    def unmount(self, target: Path) -> None:
        run("umount", target)
        self._mounted.remove(target)

    @contextlib.contextmanager
    def mounted(self, device: Path, *options: str) -> Iterator[Path]:
        target = self.mount(device, *options)
        yield target
        self.unmount(target)

    def check(self, device: Path, filesystem: str) -> None:
        """Fail unless the filesystem on an unmounted device is without any fault."""
        if filesystem == "xfs":
            # Even a frozen XFS has a log to replay, which xfs_repair leaves to the kernel.
            with self.mounted(device):
                pass
        found = run(*CHECKS[filesystem], device)
        # e2fsck says so of a copy that was not frozen, and looks no further.
        assert "skipping journal recovery" not in found, found

    def clear(self) -> None:
        for target in self._mounted:
            subprocess.run(["fsfreeze", "--unfreeze", target], check=False, capture_output=True)
        while _touching:
            _touching.pop().wait(30)
        for target in reversed(self._mounted):
            run("umount", target)


def run(*argv: str | Path) -> str:
    """Run a program that must succeed; returns all that it prints."""
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    done = subprocess.run(argv, check=False, stdout=pipe, stderr=both, text=True)
    assert done.returncode == 0, f"{argv}: {done.stdout}"
    return done.stdout


def is_writable(mount_point: Path, *, within: float) -> bool:
    """Tell whether a file can be made there in that many seconds: nobody can while it is frozen."""
    touch = subprocess.Popen(["touch", mount_point / "is-writable"])
    try:
        return touch.wait(within) == 0
    except subprocess.TimeoutExpired:
        _touching.append(touch)
        return False
