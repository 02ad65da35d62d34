"""Whatever is killed, full, unreachable or damaged: one clear sentence, and nothing that lies."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csi.errors import Unavailable
from deploy.mover import archive
from deploy.mover.archive import DamagedArchive
from tests.backup.conftest import BUCKET, MIB, Volumes, device_folder, packs
from tests.backup.mover import PASSWORD, Mover, said
from tests.cluster.programs import go_program
from tests.cluster.s3_server import KEY, S3Server
from tests.cluster.waiting import wait_until

Folder = Callable[[str], Path]


def fill(folder: Path, files: int, size: int, seed: int = 0) -> Path:
    """Put files of noise into a folder."""
    noise = random.Random(seed)
    for number in range(files):
        (folder / f"file-{number:03}").write_bytes(noise.randbytes(size))
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What takes restic a second or more."""
    return fill(tmp_path_factory.mktemp("large"), 48, 2 * MIB)


@pytest.fixture
def tree(folder: Folder) -> Path:
    return fill(folder("tree"), 3, 1000)


def test_a_hundredth_that_changed_is_all_that_is_added(folder: Folder, repository: Mover) -> None:
    large = fill(folder("large"), 128, 2 * MIB)
    first = repository.backup(large).result
    assert first["bytes"] == 256 * MIB
    assert first["added"] >= 256 * MIB
    assert first["files"] == 128
    fill(large, 1, 256 * MIB // 100, seed=1)
    second = repository.backup(large, time="2026-11-26T13:00:00Z").result
    assert 256 * MIB // 100 <= second["added"] < 3 * 256 * MIB // 100
    backups = repository.listed(large)
    assert [one["backup"] for one in backups] == [first["backup"], second["backup"]]
    assert [one["added"] for one in backups] == [first["added"], second["added"]]
    pruned = repository.run(large, "prune", "--disk=pgdata", "--keep-last=1").result
    assert pruned == {"kept": [second["backup"]], "removed": [first["backup"]]}
    assert repository.listed(large) == [backups[1]]
    assert repository.run(large, "check", "--read-data").result["backups"] == 1


def test_prune_is_about_one_disk_and_keeps_something(tree: Path, repository: Mover) -> None:
    for hour in (10, 11):
        for disk in ("pgdata", "other"):
            repository.backup(tree, disk=disk, time=f"2026-11-26T{hour}:00:00Z")
    assert "say how many" in repository.run(tree, "prune", "--disk=pgdata").failure
    pruned = repository.run(tree, "prune", "--disk=pgdata", "--keep-last=1").result
    assert (len(pruned["kept"]), len(pruned["removed"])) == (1, 1)
    listed = repository.listed(tree)
    assert sorted(one["disk"] for one in listed) == ["other", "other", "pgdata"]


def test_prune_leaves_what_another_cluster_has_made(tree: Path, repository: Mover) -> None:
    made = {
        (cluster, hour): repository.backup(
            tree, cluster=cluster, time=f"2026-11-26T{hour}:00:00Z"
        ).result["backup"]
        for cluster, hour in (("c1", 10), ("c2", 11), ("c1", 12), ("c2", 13))
    }
    words = ("prune", "--disk=pgdata", "--keep-last=1")

    pruned = repository.run(tree, *words, "--cluster=c1").result

    assert pruned == {"kept": [made["c1", 12]], "removed": [made["c1", 10]]}
    assert repository.run(tree, *words, "--cluster=c3").result == {"kept": [], "removed": []}
    left = {one["backup"]: one["cluster"] for one in repository.listed(tree)}
    assert left == {made["c2", 11]: "c2", made["c1", 12]: "c1", made["c2", 13]: "c2"}
    assert repository.run(tree, *words).result["kept"] == [made["c2", 13]]


def test_a_mover_that_is_killed_leaves_no_backup(
    large: Path, repository: Mover, tmp_path: Path
) -> None:
    running = repository.start(large, "backup", said())
    wait_until(lambda: packs(tmp_path / "repository"), "something is stored", within=60, every=0.01)
    assert not any(PASSWORD in line for line in running.command_lines())
    assert any("restic" in line for line in running.command_lines())
    running.kill()
    assert repository.listed(large) == []
    made = repository.backup(large).result["backup"]
    assert [one["backup"] for one in repository.listed(large)] == [made]
    pruned = repository.run(large, "prune", "--disk=pgdata", "--keep-last=1").result
    assert pruned == {"kept": [made], "removed": []}


def test_a_mover_that_is_told_to_end_leaves_no_lock(
    large: Path, repository: Mover, tmp_path: Path
) -> None:
    running = repository.start(large, "backup", said())
    wait_until(lambda: packs(tmp_path / "repository"), "something is stored", within=60, every=0.01)
    running.tell(signal.SIGTERM)
    assert "told to end" in running.finish().failure
    assert list((tmp_path / "repository/locks").iterdir()) == []
    assert repository.listed(large) == []


def test_a_server_that_dies_in_the_middle(large: Path, bucket: Mover, s3: S3Server) -> None:
    running = bucket.start(large, "backup", said())
    wait_until(lambda: packs(s3.folder(BUCKET)), "something is stored", within=60, every=0.01)
    s3.close()
    ended = running.finish()
    assert "cannot be reached" in ended.failure
    assert any("does not answer, and is asked again" in note for note in ended.notes)
    s3.start()
    assert bucket.listed(large) == []
    made = bucket.backup(large).result["backup"]
    assert [one["backup"] for one in bucket.listed(large)] == [made]


def test_a_server_that_is_not_there(tree: Path, mover: Mover) -> None:
    nowhere = mover.at("s3:http://127.0.0.1:1/backups", **KEY)
    for words in (["backup", said()], ["list"], ["check"]):
        ended = nowhere.run(tree, *words)
        assert "http://127.0.0.1:1/backups cannot be reached" in ended.failure
        assert "connection refused" in ended.failure
        assert KEY["AWS_SECRET_ACCESS_KEY"] not in str(ended.lines)


def test_wrong_credentials(tree: Path, mover: Mover, s3: S3Server) -> None:
    wrong = mover.at(s3.bucket(BUCKET), **{**KEY, "AWS_SECRET_ACCESS_KEY": "none of theirs"})
    ended = wrong.run(tree, "backup", said())
    assert "check its credentials" in ended.failure
    assert "none of theirs" not in str(ended.lines)


def test_a_wrong_password(tree: Path, repository: Mover, tmp_path: Path) -> None:
    repository.backup(tree)
    wrong = repository.at(tmp_path / "repository", RESTIC_PASSWORD="wrong")
    for words in (["backup", said()], ["list"], ["check"]):
        assert "check RESTIC_PASSWORD" in wrong.run(tree, *words).failure


def test_no_repository(tree: Path, no_repository: Mover, mover: Mover) -> None:
    assert "there is no backup repository at" in no_repository.run(tree, "list").failure
    assert "RESTIC_REPOSITORY is not set" in mover.run(tree, "list").failure


def test_no_such_backup(tree: Path, repository: Mover, folder: Folder) -> None:
    repository.backup(tree)
    again = folder("again")
    for given in ("12345678", "latest", "--help", "1"):
        said = repository.run(again, "restore", f"--backup={given}").failure
        assert "list them" in said


def test_a_pack_that_is_gone_or_changed(
    tree: Path, repository: Mover, folder: Folder, tmp_path: Path
) -> None:
    (tree / "large").write_bytes(random.Random(5).randbytes(3 * MIB))
    backup = repository.backup(tree).result["backup"]
    assert repository.run(tree, "check", "--read-data").result["backups"] == 1
    largest = max(packs(tmp_path / "repository"), key=lambda path: path.stat().st_size)
    sound = largest.read_bytes()
    largest.chmod(0o600)
    largest.write_bytes(sound[:MIB] + bytes([sound[MIB] ^ 1]) + sound[MIB + 1 :])
    assert "is damaged" in repository.run(tree, "check", "--read-data").failure
    words = ("restore", "--backup", backup)
    assert "is damaged" in repository.run(folder("again"), *words).failure
    largest.unlink()
    assert "is damaged" in repository.run(tree, "check").failure
    assert "is damaged" in repository.run(folder("again-2"), *words).failure


def test_a_file_that_cannot_be_read(tree: Path, volumes: Volumes, repository: Mover) -> None:
    (tree / "unreadable").touch()
    volumes.put_unreadable(tree / "unreadable")
    failure = repository.backup(tree).failure
    assert "the disk could not be read, so nothing is kept of this backup" in failure
    assert "/disk/unreadable" in failure
    assert repository.listed(tree) == []


@pytest.fixture
def deaf(tmp_path: Path, tree: Path, volumes: Volumes) -> Callable[[str], Mover]:
    """Returns a mover of a tree that cannot be read, whose restic ends before the signal comes.

    A fake: whether it is faster than that signal cannot be said. A shell line says what else
    happens when it is to forget what it has stored.
    """
    (tree / "unreadable").touch()
    volumes.put_unreadable(tree / "unreadable")

    def mover(meanwhile: str) -> Mover:
        programs = tmp_path / "deaf"
        programs.mkdir()
        calls = f"case \" $* \" in *' forget '*) {meanwhile};; esac"
        text = f"#!/bin/sh\ntrap '' TERM\n{calls}\nsetsid {go_program('restic')} \"$@\"\n"
        (programs / "restic").write_text(text)
        (programs / "restic").chmod(0o755)
        return Mover(programs)

    return mover


def test_a_restic_that_ends_all_the_same_leaves_no_backup(
    tree: Path, deaf: Callable[[str], Mover], repository: Mover, tmp_path: Path
) -> None:
    failure = deaf("true").at(tmp_path / "repository").backup(tree).failure

    assert "/disk/unreadable" in failure
    assert repository.listed(tree) == []


def test_what_lacks_files_is_no_backup_though_nobody_took_it_away(
    tree: Path, deaf: Callable[[str], Mover], repository: Mover, tmp_path: Path, folder: Folder
) -> None:
    killed = deaf("kill -KILL $PPID; exit").at(tmp_path / "repository")
    assert killed.start(tree, "backup", said()).status() == -signal.SIGKILL
    assert repository.listed(tree) == []

    good = repository.backup(folder("good"), time="2026-11-26T11:00:00Z").result["backup"]

    # It would else be the last one, to be kept instead of a good one.
    pruned = repository.run(tree, "prune", "--disk=pgdata", "--keep-last=1").result
    assert pruned == {"kept": [good], "removed": []}
    assert repository.run(tree, "check").result["backups"] == 1


def test_two_backups_at_once(large: Path, repository: Mover, tree: Path) -> None:
    repository.backup(tree, disk="first")
    running = [repository.start(large, "backup", said(disk=f"disk-{n}")) for n in (1, 2)]
    ids = {one.finish().result["backup"] for one in running}
    listed = {one["backup"]: one["disk"] for one in repository.listed(tree)}
    assert ids < listed.keys()
    assert sorted(listed.values()) == ["disk-1", "disk-2", "first"]
    assert repository.run(tree, "check").result["backups"] == 3


def test_two_first_backups_at_once(tree: Path, no_repository: Mover) -> None:
    """Both find no repository, and one makes it."""
    running = [no_repository.start(tree, "backup", said(disk=f"disk-{n}")) for n in (1, 2, 3)]
    ended = [one.finish() for one in running]
    assert sum("a new repository was made" in str(one.notes) for one in ended) == 1
    ids = {one.result["backup"] for one in ended}
    assert {one["backup"] for one in no_repository.listed(tree)} == ids
    assert no_repository.run(tree, "init").result == {"made": False}


def test_a_repository_that_is_full(large: Path, volumes: Volumes, mover: Mover) -> None:
    full = mover.at(volumes.small(48 * MIB) / "repository")
    said = full.backup(large).failure
    assert "is full: make room there" in said
    assert full.listed(large) == []


def test_a_file_for_which_there_is_no_room(large: Path, volumes: Volumes, mover: Mover) -> None:
    said = mover.write(large, volumes.small(20 * MIB) / "file").failure
    assert "No space left on device; make room" in said


def test_a_disk_that_is_too_small_for_a_backup(
    large: Path, volumes: Volumes, repository: Mover, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    repository.write(large, file)
    backup = repository.backup(large).result["backup"]
    assert "the new disk is too small" in repository.read(volumes.small(48 * MIB), file).failure
    words = ("restore", "--backup", backup)
    assert "the new disk is too small" in repository.run(volumes.small(48 * MIB), *words).failure


def test_a_receiver_that_goes(large: Path, mover: Mover) -> None:
    reading, writing = os.pipe()
    running = mover.start(large, "write-file", said(), stdout=writing)
    os.close(writing)
    os.read(reading, 1000)
    os.close(reading)
    assert "has gone" in running.finish().failure


def test_a_listener_that_goes(
    volumes: Volumes, folder: Folder, mover: Mover, tmp_path: Path
) -> None:
    """What the mover cannot tell of is no backup, however far it has come."""
    raw = device_folder(folder("raw"), volumes.device(64 * MIB))
    reading, writing = os.pipe()
    os.close(reading)
    file = tmp_path / "file"

    with file.open("wb") as stream:
        words = ("write-file", "--block", said(mode="block", size=64 * MIB))
        running = mover.start(raw, *words, stdout=stream, stderr=writing)
    os.close(writing)

    assert running.status() != 0
    with pytest.raises(DamagedArchive, match="not whole"):
        archive.verify(file)


def test_a_file_that_breaks_off_while_it_is_read_is_told(
    tree: Path, mover: Mover, volumes: Volumes, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    mover.write(tree, file)
    volumes.put_unreadable(file)

    with pytest.raises(Unavailable, match="cannot be read to its end: Input/output error"):
        archive.about(file)
    # What stands in for a broken disk has no end that could be looked for: another error.
    with pytest.raises(Unavailable, match="cannot be read to its end: "):
        archive.verify(file)


def test_words_that_make_no_sense(tree: Path, mover: Mover) -> None:
    for about in ("", "{}", '{"disk": 7}', "[", '{"disk": "a", "size": 0, "mode": "block"}'):
        ended = mover.run(tree, "write-file", f"--about={about}")
        assert "the disk" in ended.failure or "about a disk" in ended.failure


def test_hold_holds_until_it_is_told(tree: Path, mover: Mover) -> None:
    running = mover.start(tree, "hold")
    assert running.line() == {"result": {}}
    running.tell(signal.SIGTERM)
    assert running.finish().status == 0


HOLDS = """
from deploy.mover import hold
with hold.waiting(float("{unvisited}"), left=float("{left}"), every=0.1):
    print("holds", flush=True)
"""


@pytest.fixture
def first_process() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts what holds as the first process of a container, and then a shell line in that."""
    started = []

    def start(visit: str = "", **limits: float) -> "subprocess.Popen[str]":
        code = HOLDS.format(**limits)
        holds = subprocess.Popen(
            [
                *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *(sys.executable, "-c", code),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(holds)
        assert holds.stdout
        assert holds.stdout.readline() == "holds\n"
        if visit:
            first = Path(f"/proc/{holds.pid}/task/{holds.pid}/children").read_text().strip()
            inside = ["nsenter", f"--target={first}", "--pid", "--mount", "sh", "-c", visit]
            started.append(subprocess.Popen(inside, text=True))
        return holds

    yield start
    for one in started:
        one.kill()
        one.communicate()


def test_where_nobody_comes_the_disk_is_let_go(
    first_process: Callable[..., "subprocess.Popen[str]"],
) -> None:
    assert first_process(unvisited=0.5, left=1000).wait(timeout=60) == 0


def test_a_disk_is_held_as_long_as_somebody_works_and_not_for_ever(
    first_process: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    done = tmp_path / "done"
    holds = first_process(f"sleep 2; touch {done}", unvisited=1000, left=0.5)
    assert holds.wait(timeout=60) == 0
    assert done.exists()


def test_a_restored_disk_is_held(tree: Path, repository: Mover, folder: Folder) -> None:
    backup = repository.backup(tree).result["backup"]
    running = repository.start(folder("again"), "restore", "--hold", "--backup", backup)
    while "result" not in (line := running.line()):
        pass
    assert line["result"]["backup"] == backup
    running.tell(signal.SIGTERM)
    assert running.finish().status == 0
