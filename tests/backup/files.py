"""A tree of all that a filesystem can hold, and what it looks like to who looks at everything."""

import hashlib
import os
import random
import socket
import stat
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 64 << 10
_TAG = "trusted.of"


@dataclass(frozen=True, slots=True)
class Entry:
    """All of a file but for when its inode changed, and where it lies."""

    mode: int
    owner: tuple[int, int]
    size: int
    modified: int
    device: int
    attributes: tuple[tuple[str, bytes], ...]
    names: tuple[Path, ...]
    """All that this inode has."""
    content: str


def grow(root: Path, hole: int) -> None:
    """Fill a folder with one of everything; its sparse file has a hole of so many bytes."""
    (root / "folder/of a/folder").mkdir(parents=True)
    (root / "folder/empty").mkdir(mode=0o1777)
    (root / "folder/of a/folder/text").write_text("some text\n")
    (root / "none").write_bytes(b"")
    (root / "noise").write_bytes(random.Random(1).randbytes((9 << 20) + 12345))
    os.link(root / "noise", root / "folder/noise-too")
    os.link(root / "noise", root / "folder/of a/third-name")
    (root / "link").symlink_to("../somewhere/else")
    os.mkfifo(root / "pipe", 0o600)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 70000))
    Path(os.fsdecode(os.fsencode(root) + b"/n\xff\xfe\nme \\ \x01")).write_text("odd name")
    (root / ("long" * 60)).write_text("long name")
    _be_sparse(root / "sparse", hole)
    _be_program(root / "program")
    _listen(root / "folder/socket")
    _have_attributes(root)
    _have_owners_and_times(root)


def _be_sparse(path: Path, hole: int) -> None:
    with path.open("wb") as file:
        file.write(b"beginning" * 1000)
        file.seek(hole)
        file.write(b"middle" * 1000)
        file.truncate(hole + (1 << 20))


def _be_program(path: Path) -> None:
    path.write_bytes(Path("/bin/true").read_bytes())
    path.chmod(0o6755)
    subprocess.run(["setcap", "cap_net_bind_service,cap_net_raw+ep", path], check=True)


def _listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _have_attributes(root: Path) -> None:
    os.setxattr(root / "noise", "user.note", b"with \0, = and \n")
    os.setxattr(root / "noise", "user.empty", b"")
    os.setxattr(root / "folder", "trusted.overlay.opaque", b"y")
    os.setxattr(root / "link", _TAG, b"a link", follow_symlinks=False)
    os.setxattr(root / "pipe", _TAG, b"a pipe")
    os.setxattr(root / "null", _TAG, b"a device")
    os.setxattr(root, "user.root", b"the root's own")
    for rule in ("u:1234:rwx,g:4321:r", "d:u:1234:rx,d:m::rwx"):
        subprocess.run(["setfacl", "-m", rule, root / "folder"], check=True)
    subprocess.run(["setfacl", "-m", "u:99:rw", root / "folder/of a/folder/text"], check=True)


def _have_owners_and_times(root: Path) -> None:
    os.chown(root / "folder/of a/folder/text", 70, 70)
    os.chown(root / "link", 1000, 1001, follow_symlinks=False)
    os.chown(root / "pipe", 4294967294, 3000000000)
    (root / "folder/of a").chmod(0o2750)
    os.utime(root / "noise", ns=(0, 1_234_567_890_123_456_789))
    os.utime(root / "none", ns=(0, -1_500_000_000))
    os.utime(root / "link", ns=(0, 981_173_106_000_000_001), follow_symlinks=False)
    os.utime(root / "folder", ns=(0, 1_000_000_000_000_000_007))
    os.chown(root, 999, 998)
    root.chmod(0o3751)
    os.utime(root, ns=(0, 1_111_111_111_111_111_111))


def look(root: Path) -> dict[Path, Entry]:
    """Return everything in a folder, and itself, by path; sockets are not looked at."""
    found = {path: path.lstat() for path in _walk(root)}
    names: dict[int, list[Path]] = defaultdict(list)
    for path, status in found.items():
        names[status.st_ino].append(path.relative_to(root))
    return {
        path.relative_to(root): _entry(path, status, tuple(sorted(names[status.st_ino])))
        for path, status in found.items()
        if not stat.S_ISSOCK(status.st_mode)
    }


def _walk(root: Path) -> list[Path]:
    inner = [
        Path(folder, name) for folder, folders, files in os.walk(root) for name in folders + files
    ]
    return [root, *(path for path in inner if path.name != "lost+found")]


def _entry(path: Path, status: os.stat_result, names: tuple[Path, ...]) -> Entry:
    is_file, is_folder = stat.S_ISREG(status.st_mode), stat.S_ISDIR(status.st_mode)
    is_device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
    }
    content = _hash(path) if is_file else ""
    if stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    return Entry(
        status.st_mode,
        (status.st_uid, status.st_gid),
        0 if is_folder else status.st_size,
        status.st_mtime_ns,
        status.st_rdev if is_device else 0,
        tuple(sorted(attributes.items())),
        names,
        content,
    )


def _hash(path: Path) -> str:
    """Hash a file's blocks and where they are, without those that are zero or in a hole."""
    digest, zeros = hashlib.sha256(), bytes(_BLOCK)
    with path.open("rb", buffering=0) as file:
        end, at = os.fstat(file.fileno()).st_size, 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA) // _BLOCK * _BLOCK
            except OSError:
                break
            block = os.pread(file.fileno(), _BLOCK, at)
            if block != zeros[: len(block)]:
                digest.update(at.to_bytes(8) + block)
            at += _BLOCK
    return digest.hexdigest()


def allocated(path: Path) -> int:
    """Bytes that a file has on disk."""
    return path.stat().st_blocks * 512
