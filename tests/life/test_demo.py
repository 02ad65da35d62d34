"""`make demo` tells its whole story, and leaves nothing behind, also after Ctrl-C."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.loop_only  # it brings its own pool

DEMO = [sys.executable, "-u", "-m", "deploy.demo"]


def assert_nothing_is_left(story: str) -> None:
    cleaned = re.search(r"cleaned up: (\S+) ", story)
    assert cleaned, story
    folder = cleaned[1]
    assert not Path(folder).exists()
    assert folder not in Path("/proc/self/mountinfo").read_text()
    shown = [file.read_text() for file in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not [image for image in shown if image.startswith(folder)]


def test_the_demo_tells_its_story() -> None:
    done = subprocess.run(DEMO, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr
    for words in (
        'name = "pgdata"',
        "kind: PersistentVolumeClaim",
        "disk created, leased to default/db-0",
        'REFUSED ABORTED: disk "pgdata" is held by default/db-0',
        "REFUSED FAILED_PRECONDITION: ",
        "| 2,flat white",
        "db-1     sees 3 orders",
        "audit-0  sees 2 orders",
        "filesystem grown, still mounted",
        "web-0 writes cat.jpg, web-1 finds it: 4096 bytes",
        "pgdata       2 GiB  free",
    ):
        assert words in done.stdout
    assert_nothing_is_left(done.stdout)


@pytest.mark.parametrize("moment", ["The driver", "NodeStageVolume", "CreateSnapshot"])
def test_an_interrupted_demo_cleans_up(moment: str) -> None:
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        told = ""
        for line in demo.stdout:
            told += line
            if moment in line:
                demo.send_signal(signal.SIGINT)
                break
        told += demo.stdout.read()
        assert demo.wait(60) == 130
    assert_nothing_is_left(told)
