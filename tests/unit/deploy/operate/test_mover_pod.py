"""What is said about a mover: why it does not start, how far it is, how it has ended."""

import io
from typing import Any

import pytest

from csi.errors import NotFound, Unavailable
from csi.kubernetes_api import KubernetesApi
from deploy.operate.container_log import ContainerLog
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.mover import Mover
from deploy.operate.mover_lines import Facts, MoverFailed, Note, Progress, Result, parse
from deploy.operate.mover_pod import PodState, Stage, state_of
from deploy.operate.progress_bar import ProgressBar, describe, duration

MIB = 1 << 20


def pod(phase: str = "Pending", node: str = "node-1", **state: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": phase}
    if state:
        status["containerStatuses"] = [{"image": "miren-csi:1", "state": state}]
    return {"spec": {"nodeName": node}, "status": status}


def warning(reason: str, message: str, at: str = "2026-01-01T00:00:00Z") -> dict[str, str]:
    return {"reason": reason, "message": message, "lastTimestamp": at}


def mount(code: str, what: str) -> dict[str, str]:
    text = f'MountVolume.SetUp failed for volume "disk" : rpc error: code = {code} desc = {what}'
    return warning("FailedMount", text)


UNSCHEDULED: dict[str, Any] = {
    "spec": {},
    "status": {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "message": "0/1 nodes are available"}],
    },
}


@pytest.mark.parametrize(
    ("found", "events", "state"),
    [
        (None, [], PodState(Stage.WAITING)),
        (
            None,
            [warning("FailedCreate", "pods is forbidden")],
            PodState(Stage.WAITING, "pods is forbidden"),
        ),
        (
            UNSCHEDULED,
            [],
            PodState(Stage.WAITING, "no node takes it: 0/1 nodes are available"),
        ),
        (pod(), [warning("Pulled", "image is there")], PodState(Stage.WAITING)),
        (
            pod(),
            [mount("Unavailable", "lvm is busy")],
            PodState(Stage.WAITING, "lvm is busy"),
        ),
        (
            pod(),
            [mount("NotFound", 'disk "x" does not exist')],
            PodState(Stage.WAITING, 'disk "x" does not exist', never=True),
        ),
        (
            pod(),
            [warning("FailedMount", 'for volume "r" : hostPath type check failed: /a is not one')],
            PodState(Stage.WAITING, "hostPath type check failed: /a is not one", never=True),
        ),
        (
            pod(
                waiting={"reason": "CreateContainerConfigError", "message": 'secret "a" not found'}
            ),
            [],
            PodState(
                Stage.WAITING, 'its container cannot be started: secret "a" not found', never=True
            ),
        ),
        (
            pod(waiting={"reason": "ImagePullBackOff"}),
            [],
            PodState(
                Stage.WAITING,
                "its image miren-csi:1 cannot be pulled: ImagePullBackOff",
                never=True,
            ),
        ),
        (pod(waiting={"reason": "ContainerCreating"}), [], PodState(Stage.WAITING)),
        (pod("Running", running={}), [], PodState(Stage.RUNNING)),
        (
            pod("Failed", terminated={"exitCode": 137, "reason": "OOMKilled"}),
            [],
            PodState(Stage.FAILED, ended="with status 137 (OOMKilled)"),
        ),
    ],
)
def test_why_a_mover_does_not_run(
    found: dict[str, Any] | None, events: list[dict[str, str]], state: PodState
) -> None:
    assert state_of(found, events) == state


def test_the_latest_warning_tells() -> None:
    events = [
        warning("FailedMount", "first", "2026-01-01T00:00:01Z"),
        warning("FailedMount", "last", "2026-01-01T00:00:03Z"),
        warning("FailedMount", "second", "2026-01-01T00:00:02Z"),
    ]

    assert state_of(pod(), events).waits_for == "last"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"progress": {"bytes": 1, "total": null, "files": 7}}', Progress(1, None, 7)),
        ('{"note": "a socket"}', Note("a socket")),
        ('{"result": {"backup": "1a2b"}}', Result(Facts(backup="1a2b"))),
        ("command terminated with exit code 1", None),
        ('"a string"', None),
        ("", None),
    ],
)
def test_what_a_mover_says(text: str, line: object) -> None:
    assert parse(text) == line


def test_a_mover_that_fails_is_quoted() -> None:
    with pytest.raises(MoverFailed, match=r"^the password is wrong$"):
        parse('{"failure": "the password is wrong"}')


def test_a_mover_of_another_version_is_no_riddle() -> None:
    found = parse('{"result": {"backup": "1a2b3c4d"}}')

    assert isinstance(found, Result)
    with pytest.raises(Unavailable, match='does not say "bytes": the driver is of another version'):
        found.facts["bytes"]


class Log(KubernetesApi):
    """An API server that only has one log. A fake: a real one's log does not grow on demand."""

    def __init__(self) -> None:
        self.lines = ""
        self.asked: list[str] = []

    def text(self, path: str, query: Any = None) -> str:  # noqa: ARG002
        since = (query or {}).get("sinceTime", "")
        self.asked.append(since)
        # To the second, as kubelet does.
        lines = self.lines.splitlines(keepends=True)
        return "".join(one for one in lines if one[:19] >= since[:19])


class StartedAgain(Log):
    """Whose kubelet does not know its pods for a moment, and answers 404. A fake, for that."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = '2026-01-01T00:00:00.1Z {"result": {"backup": "1a2b3c4d"}}\n'
        self.unknown = 2

    def list(self, path: str, query: Any = None) -> list[dict[str, Any]]:  # noqa: ARG002
        running = pod("Running", running={})
        running["metadata"] = {"name": "backup-1", "uid": "u"}
        return [running] if path.endswith("/pods") else []

    def text(self, path: str, query: Any = None) -> str:
        if self.unknown:
            self.unknown -= 1
            raise NotFound('the Kubernetes API server says: pods "backup-1" not found')
        return super().text(path, query)


def test_a_kubelet_that_was_started_again_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.operate.mover._LOG_EVERY", 0.0)
    cluster = DiskCluster(StartedAgain(), "miren-system")
    job = {"metadata": {"name": "backup-1", "uid": "j"}}
    mover = Mover(cluster, job, None, ProgressBar(io.StringIO()))
    mover.wait_started(1.0)

    assert mover.result() == {"backup": "1a2b3c4d"}


def test_each_line_of_a_log_is_read_once_and_whole() -> None:
    api = Log()
    log = ContainerLog(api, "miren-system", "mover", "mover")
    second = "2026-01-01T00:00:00"
    api.lines = f"{second}.100000000Z one\n{second}.200000001Z two\n{second}.200000002Z thr"

    assert [*log.new()] == ["one", "two"]
    api.lines += "ee\n"
    assert [*log.new()] == ["three"]
    assert [*log.new()] == []
    assert api.asked[-1] == f"{second}.200000002Z"


def test_a_log_goes_on_when_the_clocks_of_its_node_are_put_back() -> None:
    api = Log()
    log = ContainerLog(api, "miren-system", "mover", "mover")
    api.lines = "2026-10-25T02:59:59.900000000+02:00 before\n"

    assert [*log.new()] == ["before"]
    api.lines = "2026-10-25T02:00:00.100000000+01:00 after\n"
    log._since = ""  # the fake compares texts
    assert [*log.new()] == ["after"]


@pytest.mark.parametrize(
    ("done", "total", "line"),
    [
        (0, None, "  0 bytes"),
        (3 * MIB, None, "  3 MiB  1 MiB/s  2 files"),
        (
            30 * MIB,
            120 * MIB,
            "  30 MiB of 120 MiB  [######..................]  25%  1 MiB/s  1m 30s left  2 files",
        ),
        (
            120 * MIB,
            120 * MIB,
            "  120 MiB of 120 MiB  [########################] 100%  1 MiB/s  2 files",
        ),
    ],
)
def test_a_line_of_progress(done: int, total: int | None, line: str) -> None:
    moving = done > 0

    assert describe(done, total, 2 if moving else 0, float(MIB) if moving else 0.0) == line


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.9, "59s"), (200, "3m 20s"), (7500, "2h 5m")]
)
def test_a_time_that_something_takes(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Screen(io.StringIO):
    """A terminal or a file."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def shown(*, terminal: bool) -> str:
    screen, now = Screen(terminal=terminal), [0.0]
    bar = ProgressBar(screen, lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        bar.show(second * MIB, 30 * MIB)
    bar.clear()
    return screen.getvalue()


def test_on_a_terminal_one_line_is_written_over_and_goes() -> None:
    text = shown(terminal=True)

    assert "\n" not in text
    assert text.count("\x1b[2K") == 26
    assert text.endswith("\x1b[2K")
    assert "24 MiB of 30 MiB" in text


def test_elsewhere_there_is_no_progress() -> None:
    assert shown(terminal=False) == ""
