"""A file that is not what was written as a backup is told, and none says that it is restored."""

import io
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.mover.about import About
from deploy.mover.archive import Writer
from tests.backup.mover import Mover

Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def whole(mover: Mover, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup of about 9 MiB: three pieces."""
    tree = tmp_path_factory.mktemp("tree")
    with Path("/dev/urandom").open("rb") as noise:
        for number in range(9):
            (tree / f"file-{number}").write_bytes(noise.read(1 << 20))
    file = tree.with_name("pgdata.miren")
    assert mover.write(tree, file).result["files"] == 9
    return file.read_bytes()


@pytest.fixture
def failure(mover: Mover, tmp_path: Path, folder: Folder) -> Callable[[bytes], str]:
    """Restores what it is given, and returns how that fails."""

    def restored(content: bytes) -> str:
        file = tmp_path / "damaged.miren"
        file.write_bytes(content)
        return mover.read(folder(f"again-{len(list(tmp_path.iterdir()))}"), file).failure

    return restored


def test_cut_off(whole: bytes, failure: Callable[[bytes], str]) -> None:
    length = len(whole)
    for end in (1, 511, 512, 700, 1024, 1536, 5000, length // 3, length // 2, length - 1025):
        said = failure(whole[:end])
        assert "no backup" in said if end < 512 else "the backup is not whole" in said, end
    assert "the backup is not whole" in failure(whole[:-1])


def test_a_byte_that_changed(whole: bytes, failure: Callable[[bytes], str]) -> None:
    names = [member for member in members(whole) if member.name.startswith("data.")]
    assert len(names) == 3
    for member in names:
        for at in (member.offset_data, member.offset_data + member.size // 2):
            assert f"{member.name}, or its checksum, has changed" in failure(flipped(whole, at))
        assert f"{member.name} should begin" in failure(flipped(whole, member.offset + 130))
    assert "has changed" in failure(flipped(whole, len(whole) - 1))


def members(whole: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        return tar.getmembers()


def flipped(whole: bytes, at: int) -> bytes:
    changed = bytearray(whole)
    changed[at] ^= 1
    return bytes(changed)


def test_a_member_that_is_missing(whole: bytes, failure: Callable[[bytes], str]) -> None:
    for gone in members(whole)[1:]:
        end = gone.offset_data + -(-gone.size // 512) * 512
        said = failure(whole[: gone.offset] + whole[end:])
        assert "missing" in said or "should begin" in said


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("data", "x" * 4000)
    return out.getvalue()


def test_what_never_was_a_backup(failure: Callable[[bytes], str]) -> None:
    assert "the backup is empty" in failure(b"")
    assert "no backup of a disk" in failure(bytes(range(256)) * 100)
    assert "no backup of a disk" in failure(zipped())


def test_sound_but_for_what_it_holds(failure: Callable[[bytes], str]) -> None:
    """Made by something else, with checksums that agree."""
    out = io.BytesIO()
    writer = Writer(out, About("pgdata", 1 << 20, "filesystem", "ext4"))
    writer.copy(io.BytesIO(b"this is no zstd stream"))
    writer.finish()
    assert "cannot be unpacked" in failure(out.getvalue())


def test_it_ends_where_the_archive_does(whole: bytes, mover: Mover, folder: Folder) -> None:
    """Whoever sends it may be unable to close the connection's one half."""
    running = mover.start(folder("again"), "read-file", stdin=subprocess.PIPE)
    running.send(whole)
    assert running.ended().result["stored"] == len(whole)


def test_a_sender_that_goes_is_told(whole: bytes, mover: Mover, folder: Folder) -> None:
    running = mover.start(folder("again"), "read-file", stdin=subprocess.PIPE)
    running.send(whole[:-2000])
    assert "the backup is not whole" in running.finish().failure
