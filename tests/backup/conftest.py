"""Volumes, a mover and places for backups."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backup.mover import PASSWORD, Mover
from tests.cluster.programs import folder_with
from tests.cluster.s3_server import KEY, S3Server
from tests.contract.host import Host, run

MIB = 1 << 20
BUCKET = "backups"

_QUICK = Path(__file__).with_name("quick-repository")


class Volumes:
    """Makes volumes on loop devices; all are gone after the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._host = Host(folder)
        self._devices: list[Path] = []

    def device(self, size: int) -> Path:
        """An empty block device."""
        image = self._folder / f"volume-{len(self._devices)}.img"
        with image.open("wb") as file:
            file.truncate(size)
        device = Path(run("losetup", "--find", "--show", image).strip())
        self._devices.append(device)
        return device

    def filesystem(self, kind: str, size: int = 1024 * MIB) -> Path:
        """The root folder of an empty filesystem."""
        device = self.device(size)
        self._host.format(device, kind)
        return self._host.mount(device)

    def small(self, size: int) -> Path:
        """A folder that takes so many bytes."""
        return self._host.mount_memory(size)

    def put_unreadable(self, target: Path) -> None:
        """Have reads of a file fail as those of a broken disk do: nothing is at its address 0."""
        self._host.bind(Path(f"/proc/{os.getpid()}/mem"), target)

    def clear(self) -> None:
        self._host.clear()
        for device in self._devices:
            subprocess.run(["losetup", "--detach", device], check=True)


def device_folder(folder: Path, device: Path) -> Path:
    """What the pod of a raw device has at /disk."""
    os.mknod(folder / "device", stat.S_IFBLK | 0o600, device.stat().st_rdev)
    return folder


def packs(repository: Path) -> list[Path]:
    """The files that hold what is backed up."""
    return [path for path in (repository / "data").rglob("*") if path.is_file()]


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = Volumes(tmp_path)
    yield made
    made.clear()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the restic that the image has; Debian 12's own is too old."""
    return folder_with(tmp_path_factory.mktemp("programs") / "bin", "restic")


@pytest.fixture(scope="session")
def mover(programs: Path) -> Mover:
    """The mover, for which /disk must be there, as it is in a pod."""
    # It stays, empty: who removes it unmounts what others have there.
    Path("/disk").mkdir(exist_ok=True)
    return Mover(programs)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    server = S3Server(tmp_path / "s3")
    yield server.start()
    server.close()


@pytest.fixture
def no_repository(tmp_path: Path, mover: Mover) -> Mover:
    """The mover with a repository in a folder, which is not there yet."""
    return mover.at(tmp_path / "repository")


@pytest.fixture
def repository(no_repository: Mover, tmp_path: Path) -> Mover:
    """The mover with an empty repository in a folder.

    `restic init` made it where it had a hundredth of a CPU. Else restic has a second's work at each
    start: a key is made to take that long.
    """
    shutil.copytree(_QUICK, tmp_path / "repository")
    for name in ("data", "index", "locks", "snapshots"):
        (tmp_path / "repository" / name).mkdir()
    return no_repository


@pytest.fixture
def restic(programs: Path, tmp_path: Path) -> Callable[..., None]:
    """Runs restic, and no miren-csi, on the repository."""
    environ = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "RESTIC_REPOSITORY": str(tmp_path / "repository"),
        "RESTIC_PASSWORD": PASSWORD,
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
    }

    def run(*words: str) -> None:
        subprocess.run(["restic", *words], cwd=tmp_path, env=environ, check=True)

    return run


@pytest.fixture
def bucket(s3: S3Server, mover: Mover) -> Mover:
    """The mover with a repository on a real S3 server."""
    return mover.at(s3.bucket(BUCKET), **KEY)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    """Makes empty folders."""

    def make(name: str) -> Path:
        path = tmp_path / name
        path.mkdir()
        return path

    return make
