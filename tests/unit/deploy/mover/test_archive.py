import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from csi.errors import NotFound
from deploy.mover import archive
from deploy.mover.about import About
from deploy.mover.archive import PIECE, DamagedArchive, Reader, Writer

ABOUT = About("pgdata", 64 << 20, "filesystem", "ext4", "uid-1", "2026-11-26T12:00:00Z")


def written(*stream: bytes) -> bytes:
    out = io.BytesIO()
    writer = Writer(out, ABOUT)
    for data in stream:
        writer.copy(io.BytesIO(data))
    stored = writer.finish()
    whole = out.getvalue()
    assert (stored.bytes, stored.checksum) == (len(whole), checksum(whole))
    return whole


def checksum(whole: bytes) -> str:
    """What `tar -xOf FILE SHA256SUMS | sha256sum` prints."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        sums = tar.extractfile("SHA256SUMS")
        assert sums
        return hashlib.sha256(sums.read()).hexdigest()


SMALL = written(b"some bytes of a zstd stream")


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        path = tmp_path / "pgdata.miren"
        path.write_bytes(content)
        return path

    return make


def members(whole: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        return tar.getmembers()


def test_what_was_written_is_read_again_in_pieces_of_their_size() -> None:
    stream = bytes(range(256)) * (2 * PIECE // 256) + b"and a rest"
    whole = written(stream[:1000], stream[1000 : PIECE + 7], stream[PIECE + 7 :])
    reader = Reader(io.BytesIO(whole + b"what comes next on the wire"))
    pieces = list(reader.pieces())
    assert reader.about == ABOUT
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, 10]
    assert b"".join(pieces) == stream
    assert reader.stored().bytes == len(whole)
    assert reader.stored().checksum == checksum(whole)


def test_it_is_a_tar_with_checksums_as_sha256sum_writes_them() -> None:
    with tarfile.open(fileobj=io.BytesIO(written(b"x" * PIECE, b"y"))) as tar:
        held = {member.name: tar.extractfile(member) for member in tar}
        content = {name: stream.read() for name, stream in held.items() if stream}
    assert list(content) == ["miren-disk.json", "data.00000000", "data.00000001", "SHA256SUMS"]
    sums = content.pop("SHA256SUMS").decode()
    assert sums == "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items()
    )


def test_a_sound_file_is_verified_with_progress(file: Callable[[bytes], Path]) -> None:
    told: list[tuple[int, int]] = []
    whole = written(b"z" * (PIECE + 1))
    verified = archive.verify(file(whole), lambda done, total: told.append((done, total)))
    assert verified.about == ABOUT
    assert verified.stored.checksum == checksum(whole)
    assert told[-1] == (len(whole), len(whole))
    assert told == sorted(told)
    assert len(told) == 3


def test_about_looks_at_the_beginning_only(file: Callable[[bytes], Path]) -> None:
    assert archive.about(file(SMALL[:1024])) == ABOUT


def test_a_file_cut_off_anywhere_is_refused(file: Callable[[bytes], Path]) -> None:
    path = file(SMALL)
    for length in reversed(range(len(SMALL))):
        with path.open("r+b") as stream:
            stream.truncate(length)
        with pytest.raises(DamagedArchive):
            archive.verify(path)


def test_any_byte_that_changes_is_noticed(file: Callable[[bytes], Path]) -> None:
    path = file(SMALL)
    with path.open("r+b", buffering=0) as stream:
        for at, byte in enumerate(SMALL):
            for other in (byte ^ 1, byte ^ 0x80, 0 if byte else 32):
                stream.seek(at)
                stream.write(bytes([other]))
                with pytest.raises(DamagedArchive):
                    archive.verify(path)
            stream.seek(at)
            stream.write(bytes([byte]))
    assert archive.verify(path).about == ABOUT


def without(number: int, whole: bytes) -> bytes:
    """The archive without one of its members."""
    gone = members(whole)[number]
    end = gone.offset_data + -(-gone.size // 512) * 512
    return whole[: gone.offset] + whole[end:]


@pytest.mark.parametrize(("number", "said"), [(0, "no backup"), (1, "data.00000000 is missing")])
def test_a_member_that_is_missing_is_told(
    file: Callable[[bytes], Path], number: int, said: str
) -> None:
    whole = written(b"x" * PIECE, b"y" * PIECE, b"z")
    with pytest.raises(DamagedArchive, match=said):
        archive.verify(file(without(number, whole)))


def test_the_last_piece_missing_is_told(file: Callable[[bytes], Path]) -> None:
    with pytest.raises(DamagedArchive, match="pieces are missing"):
        archive.verify(file(without(2, written(b"x" * PIECE, b"y"))))


def test_no_checksums_is_told_as_an_end_too_early(file: Callable[[bytes], Path]) -> None:
    with pytest.raises(DamagedArchive, match="should begin at byte"):
        archive.verify(file(without(2, SMALL)))


def test_pieces_in_another_order_are_told(file: Callable[[bytes], Path]) -> None:
    whole = written(b"x" * PIECE, b"y" * PIECE)
    first, second = members(whole)[1:3]
    length = second.offset - first.offset
    swapped = (
        whole[: first.offset]
        + whole[second.offset : second.offset + length]
        + whole[first.offset : second.offset]
        + whole[second.offset + length :]
    )
    with pytest.raises(DamagedArchive, match=r"data\.00000000 is missing .* 'data\.00000001'"):
        archive.verify(file(swapped))


def test_the_piece_that_has_changed_is_named(file: Callable[[bytes], Path]) -> None:
    whole = bytearray(written(b"x" * PIECE, b"y" * PIECE))
    whole[members(bytes(whole))[2].offset_data + 5] ^= 4
    with pytest.raises(DamagedArchive, match=r"^data\.00000001, or its checksum, has changed"):
        archive.verify(file(bytes(whole)))


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("data", "x" * 4000)
    return out.getvalue()


def other_tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        made.addfile(tarfile.TarInfo("miren-disk.json"), io.BytesIO())
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"short", "no backup"),
        (bytes(5000), "no backup"),
        (bytes(range(256)) * 40, "no backup"),
        (zipped(), "no backup"),
        (other_tar(), "no backup|has changed"),
        (SMALL + b"\0", "follow the backup's end"),
    ],
)
def test_what_is_no_backup_is_told(
    file: Callable[[bytes], Path], content: bytes, said: str
) -> None:
    with pytest.raises(DamagedArchive, match=said):
        archive.verify(file(content))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No such file"):
        archive.verify(tmp_path / "none.miren")
    with pytest.raises(NotFound, match="Is a directory"):
        archive.about(tmp_path)
