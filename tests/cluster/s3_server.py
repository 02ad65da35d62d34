"""A real S3 server on this machine."""

import socket
import subprocess
from pathlib import Path

from tests.cluster.daemon import Daemon
from tests.cluster.network import GATEWAY, Network
from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until

_HERE = "127.0.0.1"
_PORT = 7070
KEY = {"AWS_ACCESS_KEY_ID": "the-tests", "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-tests"}
"""What opens it."""


class S3Server:
    """versitygw, whose buckets are folders."""

    def __init__(self, folder: Path, network: Network | None = None) -> None:
        """Make it.

        Args:
            folder: for its data and log, another's or an empty one.
            network: the cluster's whose pods reach it; without one only this machine does.
        """
        self._buckets = folder / "buckets"
        self._buckets.mkdir(parents=True, exist_ok=True)
        self._address = GATEWAY if network else _HERE
        self._port = _PORT if network else _free_port()
        self._starter = network.starter() if network else []
        command: list[str | Path] = [
            *self._starter,
            "env",
            f"ROOT_ACCESS_KEY={KEY['AWS_ACCESS_KEY_ID']}",
            f"ROOT_SECRET_KEY={KEY['AWS_SECRET_ACCESS_KEY']}",
            go_program("versitygw"),
            "--port",
            f"{self._address}:{self._port}",
            "posix",
            self._buckets,
        ]
        self._daemon = Daemon(command, folder / "s3.log")

    def start(self) -> "S3Server":
        """Start it and wait until it answers."""
        self._daemon.start()
        wait_until(self._answers, "the S3 server answers", within=30)
        return self

    def bucket(self, name: str) -> str:
        """Make a bucket, if it is not there; returns how `--to` names it."""
        self.folder(name).mkdir(exist_ok=True)
        return f"s3:http://{self._address}:{self._port}/{name}"

    def folder(self, bucket: str) -> Path:
        """Where it keeps a bucket."""
        return self._buckets / bucket

    def close(self) -> None:
        """End it with SIGKILL; `start` starts it again."""
        self._daemon.kill()

    def _answers(self) -> bool:
        assert self._daemon.is_running, self._daemon.last_words
        probe = f"</dev/tcp/{self._address}/{self._port}"
        command = [*self._starter, "bash", "-c", probe]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HERE, 0))
        return int(probe.getsockname()[1])
