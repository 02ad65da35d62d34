"""Commands around the cut of a copy, and which backup is meant."""

import subprocess
from collections.abc import Sequence

import pytest

from csi.errors import InvalidRequest, NotFound, Unavailable
from csi.kubernetes_api import KubernetesApi, Ran
from deploy.operate.backups import choose
from deploy.operate.hooks import HookFailed, Hooks, _Place
from deploy.operate.mover_lines import Facts

LOST = 1000
"""Stands for a command that kubelet lost sight of, and calls a success (Ran.status)."""


class Pods(KubernetesApi):
    """A cluster in whose only pod commands end as they are told to.

    A fake: a real one, in tests/cluster, does not fail on demand.
    """

    def __init__(self, **statuses: int) -> None:
        self.ran: list[str] = []
        self._statuses = statuses

    def run(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, within: float
    ) -> Ran:
        del namespace, pod, container, within
        line = command[-1]
        self.ran.append(line)
        status = self._statuses.get(line, 0)
        if status < 0:
            raise NotFound("there is no pod db-0")
        if status == LOST:
            return Ran(0, "", "")
        return Ran(
            status, "" if status else f"{line} miren-hook-ended-well\n", f"{line} said why\n"
        )


def hooks(pods: Pods) -> Hooks:
    return Hooks(_Place(pods, "shop", "db-0", "main"), "pre", "post")


def test_the_second_comes_as_soon_as_the_copy_is_cut_and_only_once() -> None:
    pods = Pods()
    around = hooks(pods)

    with around.around():
        assert pods.ran == ["pre"]
        around.done()
        assert pods.ran == ["pre", "post"]

    assert pods.ran == ["pre", "post"]
    assert around.failure == ""


@pytest.mark.parametrize("status", [3, -1])
def test_a_first_that_fails_ends_it_and_the_second_comes_all_the_same(status: int) -> None:
    pods = Pods(pre=status)

    with pytest.raises(Exception, match="--pre") as failure, hooks(pods).around():
        raise AssertionError("it was not ended")

    assert pods.ran == ["pre", "post"]
    if status > 0:
        assert isinstance(failure.value, HookFailed)
        assert str(failure.value) == (
            "--pre ended with status 3 in pod shop/db-0, container main: pre said why"
        )


def test_a_first_that_kubelet_lost_sight_of_ends_it_too() -> None:
    pods = Pods(pre=LOST)

    with pytest.raises(Unavailable, match="nobody knows"), hooks(pods).around():
        raise AssertionError("it was not ended")

    assert pods.ran == ["pre", "post"]


class Shell(KubernetesApi):
    """A pod whose commands run here, without any cluster."""

    def __init__(self) -> None:
        """Nothing to connect to."""

    def run(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, within: float
    ) -> Ran:
        del namespace, pod, container
        ran = subprocess.run(command, capture_output=True, text=True, timeout=within, check=False)
        return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize(
    "line", ["true", "printf x; # no more", "false || exec true", 'echo \'a"b\' "$HOME"', "exit 0"]
)
def test_lines_that_end_well_are_proved_to(line: str) -> None:
    with Hooks(_Place(Shell(), "shop", "db-0", "main"), line, None).around():
        pass


@pytest.mark.parametrize("line", ["false", "exit 4", "true; kill -9 $$", "if then"])
def test_lines_that_do_not_are_told_with_their_status(line: str) -> None:
    around = Hooks(_Place(Shell(), "shop", "db-0", "main"), line, None)
    with pytest.raises(HookFailed, match=r"--pre ended with status [1-9]"), around.around():
        raise AssertionError("it was not ended")


def test_a_cut_that_fails_is_what_is_told_even_if_the_second_fails_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    around = hooks(Pods(post=1))

    with pytest.raises(KeyboardInterrupt), around.around():
        raise KeyboardInterrupt

    assert "--post ended with status 1" in around.failure
    assert "warning: --post ended" in capsys.readouterr().err


def a(backup: str, disk: str, time: str, cluster: str = "here") -> Facts:
    return Facts(backup=backup, disk=disk, time=time, cluster=cluster)


BACKUPS = [
    a("1a2b3c4d", "pgdata", "2026-01-02T03:00:00.123456789Z"),
    a("2a2b3c4d", "pgdata", "2026-01-01T03:00:00Z"),
    a("3a2b3c4d", "photos", "2026-01-03T04:00:00+02:00"),
]


@pytest.mark.parametrize(
    ("disk", "backup", "chosen"),
    [
        ("pgdata", None, "1a2b3c4d"),
        ("photos", None, "3a2b3c4d"),
        (None, "2a2b3c4d", "2a2b3c4d"),
        (None, "2a2b3c4d00112233", "2a2b3c4d"),
        ("pgdata", "2a2", "2a2b3c4d"),
    ],
)
def test_the_newest_of_a_disk_is_meant_or_the_one_that_is_named(
    disk: str | None, backup: str | None, chosen: str
) -> None:
    assert choose(BACKUPS, disk, backup)["backup"] == chosen


@pytest.mark.parametrize(
    ("disk", "backup", "why"),
    [
        (None, None, "pgdata, photos"),
        ("other", None, 'no backup of disk "other"'),
        ("photos", "1a2b3c4d", "no backup 1a2b3c4d"),
    ],
)
def test_what_may_be_meant_is_asked_for(disk: str | None, backup: str | None, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        choose(BACKUPS, disk, backup)


def test_the_newest_of_two_clusters_is_nobodys_to_guess() -> None:
    theirs = a("4a2b3c4d", "pgdata", "2026-01-03T03:00:00Z", "elsewhere")

    with pytest.raises(InvalidRequest, match="several clusters"):
        choose([*BACKUPS, theirs], "pgdata", None)

    assert choose([*BACKUPS, theirs], "pgdata", "2a2b3c4d")["time"] == "2026-01-01T03:00:00Z"
