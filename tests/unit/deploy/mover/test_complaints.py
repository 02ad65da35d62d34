import json

import pytest

from csi.errors import Busy, DiskError, NotFound, PoolFull, ProgramFailed, Refused, Unavailable
from deploy.mover.complaints import Complaints, DamagedRepository, Failure

NEVER = 1e9
RETRY = "Save(<data/9daf1d3b60>) returned error, retrying after 1.7s: "


class Child:
    """A restic that is told to end."""

    def __init__(self) -> None:
        self.ended = False

    def end(self) -> None:
        self.ended = True


def heard(*lines: str, patience: float = NEVER) -> tuple[Complaints, Child, list[str]]:
    told: list[str] = []
    complaints, child = Complaints(told.append, patience), Child()
    complaints.watch(child)
    for line in lines:
        complaints.heard(line)
    return complaints, child, told


def test_a_server_that_does_not_answer_is_told_once_until_it_answers() -> None:
    lost = RETRY + "dial tcp 127.0.0.1:7070: connect: connection refused"
    success = "Save(<data/9daf1d3b60>) operation successful after 2 retries"
    _, child, told = heard(lost, lost, success, lost)
    assert told == ["dial tcp 127.0.0.1:7070: connect: connection refused"] * 2
    assert not child.ended


def test_patience_ends() -> None:
    complaints, child, _ = heard(RETRY + "EOF", RETRY + "EOF", patience=0)
    assert child.ended
    assert complaints.ended_by == "EOF"


def test_nobody_waits_for_a_full_disk() -> None:
    _, child, _ = heard(RETRY + "write /repo/data: no space left on device")
    assert child.ended


def test_the_first_file_that_cannot_be_read_ends_it() -> None:
    error = {"message_type": "error", "error": {"message": "input/output error"}}
    scan = json.dumps({**error, "during": "scan", "item": "/disk/a"})
    _, child, _ = heard(scan)
    assert not child.ended
    complaints, child, _ = heard(
        scan, json.dumps({**error, "during": "archival", "item": "/disk/a"})
    )
    assert child.ended
    assert complaints.about_disk
    assert complaints.reason == "/disk/a: input/output error"


def test_what_was_said_before_it_is_watched_ends_it_too() -> None:
    complaints, child = Complaints(lambda _: None, NEVER), Child()
    complaints.heard(RETRY + "no space left on device")
    complaints.watch(child)
    assert child.ended


@pytest.mark.parametrize(
    ("command", "status", "why", "kind", "said"),
    [
        ("cat", 10, "…", NotFound, "there is no backup repository at s3:x"),
        ("cat", 12, "…", Refused, "password"),
        ("forget", 11, "locked by PID 7 on mover-1", Busy, "PID 7 on mover-1; try again"),
        ("backup", 1, "Save: no space left on device", PoolFull, "s3:x is full"),
        ("restore", 1, "write: no space left on device", PoolFull, "the new disk is too small"),
        ("cat", 1, "dial tcp: connect: connection refused", Unavailable, "cannot be reached"),
        ("cat", 1, "dial tcp: lookup s3: no such host", Unavailable, "cannot be reached"),
        ("cat", 1, "Stat: Access Denied.", Refused, "does not let us in"),
        ("check", 1, "repository contains errors", DamagedRepository, "is damaged"),
        ("restore", 1, "ciphertext verification failed", DamagedRepository, "is damaged"),
        ("prune", -9, "it said nothing", ProgramFailed, "killed by signal 9"),
    ],
)
def test_each_failure_has_its_sentence(
    command: str, status: int, why: str, kind: type[DiskError], said: str
) -> None:
    error = Failure("s3:x", command, status, why, about_disk=False).error()
    assert type(error) is kind
    assert said in str(error)
