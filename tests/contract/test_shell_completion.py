"""The tab key in real shells: kubectl asks `kubectl_complete-miren`, which knows the disks."""

import os
import pty
import select
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from csi.kubernetes_api import KubernetesApi
from csi.persistent_volume import COORDINATOR, unclaimed
from deploy.operate.disk_cluster import VOLUMES, volume_path
from tests.cluster.api_server import Cluster
from tests.cluster.programs import KUBECTL_MIREN, go_program

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

PROMPT = "ready> "
SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "source /usr/share/bash-completion/bash_completion; source <(kubectl completion bash)",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -U compinit; compinit -u -D; source <(kubectl completion zsh)",
    ),
}


class Terminal:
    """A shell on a terminal, and somebody who types."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self._shown = ""

    def type(self, text: str) -> None:
        self._shown = ""
        os.write(self._ours, text.encode())

    def shows(self, *texts: str, within: float = 60.0) -> str:
        """Wait until all texts were shown since something was typed; return all that was."""
        deadline = time.monotonic() + within
        while not all(text in self._shown for text in texts):
            left = deadline - time.monotonic()
            assert left > 0, f"{texts} is not shown: {self._shown!r}"
            if select.select([self._ours], [], [], left)[0]:
                self._shown += os.read(self._ours, 65536).decode(errors="replace")
        return self._shown

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@pytest.fixture
def environment(tmp_path: Path, cluster: Cluster) -> dict[str, str]:  # noqa: ARG001 - KUBECONFIG
    """Where a shell finds kubectl and its plugin, and nothing of a user's own settings."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(go_program("kubectl"))
    path = f"{programs}:{Path(KUBECTL_MIREN).parent}:{os.environ['PATH']}"
    home = {"HOME": str(tmp_path), "ZDOTDIR": str(tmp_path), "TERM": "dumb", "PS1": PROMPT}
    return {**os.environ, **home, "PATH": path}


@pytest.fixture
def disk(cluster: Cluster) -> Iterator[str]:
    """A disk that a PersistentVolume stands for."""
    name = f"tab-{uuid.uuid4().hex[:8]}"
    api = KubernetesApi()
    volume = unclaimed(name, "64Mi", cluster.namespace, pin=COORDINATOR, wish={})
    api.create(VOLUMES, volume.manifest())
    yield name
    api.delete(volume_path(name))


@pytest.fixture(params=SHELLS)
def terminal(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Terminal]:
    """A shell that has read kubectl's completion."""
    command, setup = SHELLS[request.param]
    terminal = Terminal(command, environment)
    # Written in two halves, so that what is echoed is not what is waited for.
    terminal.type(f"{setup}; echo all' 'set\n")
    terminal.shows("all set", PROMPT)
    yield terminal
    terminal.close()


def test_the_tab_key_completes_commands_options_and_disks(terminal: Terminal, disk: str) -> None:
    terminal.type("kubectl miren disk st\t")
    terminal.shows("disk status ")
    terminal.type(f"{disk[:-1]}\t")
    terminal.shows(f"{disk} ")
    terminal.type("-o y\t")
    terminal.shows("-o yaml ")


def test_several_candidates_are_listed_with_what_they_are_for(terminal: Terminal) -> None:
    terminal.type("kubectl miren disk snapshot \t\t")

    terminal.shows("make a new disk from a snapshot", "delete a snapshot")


def test_fish_completes_too(environment: dict[str, str], disk: str) -> None:
    def candidates(line: str) -> dict[str, str]:
        script = f"kubectl completion fish | source; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        lines = (one.partition("\t") for one in done.stdout.splitlines())
        return {word: text for word, _, text in lines}

    assert candidates("kubectl miren disk s") == {
        "schedule": "back up disks again and again",
        "snapshot": "cut, list, restore and delete snapshots",
        "status": "tell everything about a disk",
    }
    assert disk in candidates("kubectl miren disk status ")
    assert candidates("kubectl miren pool -o y").keys() == {"yaml"}
