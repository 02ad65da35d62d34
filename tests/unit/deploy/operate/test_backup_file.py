"""A backup that comes through kubectl into a file, whatever becomes of the connection.

kubectl is a script here: what a lost connection, or a mover that fails, looks like cannot be had
from a real one on demand.
"""

import errno
import fcntl
import io
import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csi.errors import Busy, DiskError, NotFound, PoolFull, Refused, Unavailable
from deploy.mover.about import About
from deploy.mover.archive import Stored, Writer
from deploy.operate.backup_file import Remote, receive, require_new, send
from deploy.operate.mover_lines import MoverFailed
from deploy.operate.progress_bar import ProgressBar

REMOTE = Remote(None, "miren-system", "mover-1")


def archive() -> tuple[bytes, Stored]:
    whole = io.BytesIO()
    writer = Writer(whole, About("pgdata", 1 << 30, "filesystem", "ext4"))
    writer.copy(io.BytesIO(os.urandom(1 << 20)))
    stored = writer.finish()
    return whole.getvalue(), stored


class Far:
    """What the mover writes and says, and how kubectl ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.data, self.stored = archive()
        self.succeeds()

    def succeeds(self) -> None:
        stored = {"stored": self.stored.bytes, "checksum": self.stored.checksum}
        facts = {"bytes": 7, "files": 1, **stored}
        self.says(json.dumps({"result": facts}))

    def sends(self, data: bytes) -> None:
        (self._folder / "data").write_bytes(data)

    def says(self, *lines: str, status: int = 0) -> None:
        self.sends(self.data)
        (self._folder / "lines").write_text("".join(f"{line}\n" for line in lines))
        (self._folder / "status").write_text(str(status))

    @property
    def got(self) -> bytes:
        """What came in on standard input."""
        return (self._folder / "got").read_bytes()

    @property
    def command(self) -> str:
        return (self._folder / "command").read_text().strip()


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Far:
    folder = tmp_path / "far"
    folder.mkdir()
    script = folder / "kubectl"
    script.write_text(
        f'#!/bin/sh\ncd {folder}\necho kubectl "$@" >command\n'
        'case " $* " in *" --stdin "*) cat >got ;; *) cat data ;; esac\n'
        "cat lines >&2\nexit $(cat status)\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Far(folder)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder / "pgdata.miren"


def fetch(target: Path) -> dict[str, object]:
    return receive(REMOTE, ["write-file"], target, ProgressBar(io.StringIO()))


def test_a_backup_that_came_whole_is_there(far: Far, target: Path) -> None:
    facts = fetch(target)

    assert facts["stored"] == len(far.data)
    assert target.read_bytes() == far.data
    assert target.stat().st_mode & 0o077 == 0
    assert [*target.parent.iterdir()] == [target]
    assert far.command == (
        "kubectl exec --namespace miren-system mover-1 --container mover -- miren-mover write-file"
    )


def lost_in_the_middle(far: Far) -> None:
    far.says("error: connection reset by peer", status=0)
    far.sends(far.data[: len(far.data) // 2])


def lost_at_the_end(far: Far) -> None:
    far.says()


def ended_before_all_was_sent(far: Far) -> None:
    far.sends(far.data[:-1])


def more_than_the_mover_sent(far: Far) -> None:
    far.sends(far.data + b"\0")


def damaged_on_its_way(far: Far) -> None:
    damaged = bytearray(far.data)
    damaged[len(damaged) // 2] ^= 1
    far.sends(bytes(damaged))


def not_what_was_sent(far: Far) -> None:
    far.sends(archive()[0])


@pytest.mark.parametrize(
    "happens",
    [
        lost_in_the_middle,
        lost_at_the_end,
        ended_before_all_was_sent,
        more_than_the_mover_sent,
        damaged_on_its_way,
        not_what_was_sent,
    ],
)
def test_a_backup_that_did_not_is_not(
    far: Far,
    target: Path,
    happens: Callable[[Far], None],
) -> None:
    happens(far)
    target.write_text("the backup of yesterday")

    with pytest.raises(Unavailable, match="try again"):
        fetch(target)

    assert [*target.parent.iterdir()] == [target]
    assert target.read_text() == "the backup of yesterday"


def test_what_the_mover_says_comes_before_what_kubectl_does(far: Far, target: Path) -> None:
    far.says('{"failure": "file a cannot be read"}', "command terminated", status=1)
    far.sends(far.data[:1000])

    with pytest.raises(MoverFailed, match=r"^file a cannot be read$"):
        fetch(target)

    assert [*target.parent.iterdir()] == []


# The last byte comes out of a buffer when all has been written.
@pytest.fixture(params=[700_000, 1])
def little_room(request: pytest.FixtureRequest, far: Far) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(far.data) - request.param, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("little_room")
def test_without_room_nothing_is_left(target: Path) -> None:
    with pytest.raises(PoolFull, match="no room"):
        fetch(target)

    assert [*target.parent.iterdir()] == []


def test_a_disk_that_fails_is_told_and_nothing_is_left(
    far: Far,  # noqa: ARG001
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fake: no disk here fails on demand as late as that."""

    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(Refused, match=r"cannot be written to its end \(Input/output error\)"):
        fetch(target)

    assert [*target.parent.iterdir()] == []


def test_two_do_not_write_one_file(far: Far, target: Path) -> None:  # noqa: ARG001
    with target.with_name("pgdata.miren.partial").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another command"):
            fetch(target)


def test_a_file_that_exists_is_replaced_only_when_that_is_said(target: Path) -> None:
    require_new(target, force=False)
    target.write_text("yesterday")
    with pytest.raises(Refused, match="--force"):
        require_new(target, force=False)
    require_new(target, force=True)
    with pytest.raises(Refused, match="is a folder"):
        require_new(target.parent, force=True)
    with pytest.raises(NotFound, match="no folder"):
        require_new(target / "deeper" / "a.miren", force=False)


def test_a_file_goes_to_the_mover_as_it_is(far: Far, target: Path) -> None:
    target.write_bytes(far.data)

    facts = send(REMOTE, ["read-file"], target, ProgressBar(io.StringIO()))

    assert far.got == far.data
    assert facts["files"] == 1
    assert " exec --stdin " in far.command


def test_a_file_that_did_not_arrive_is_told_so(far: Far, target: Path) -> None:
    far.says("error: lost", status=0)
    target.write_bytes(far.data)

    with pytest.raises(DiskError, match=r"lost.*try again"):
        send(REMOTE, ["read-file"], target, ProgressBar(io.StringIO()))
