"""An S3 server on this machine, which the cluster's pods reach."""

import subprocess
from pathlib import Path

from tests.cluster.daemon import Daemon
from tests.cluster.network import GATEWAY, Network
from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until

PORT = 7070
KEY = {"AWS_ACCESS_KEY_ID": "the-tests", "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-tests"}
"""What opens it."""


class S3Server:
    """versitygw, whose buckets are folders."""

    def __init__(self, folder: Path, network: Network) -> None:
        """Args: folder: for its data and log, another's or empty; network: where it is reached."""
        self._buckets = folder / "buckets"
        self._buckets.mkdir(exist_ok=True)
        self._network = network
        command: list[str | Path] = [
            *network.starter(),
            "env",
            f"ROOT_ACCESS_KEY={KEY['AWS_ACCESS_KEY_ID']}",
            f"ROOT_SECRET_KEY={KEY['AWS_SECRET_ACCESS_KEY']}",
            go_program("versitygw"),
            "--port",
            f"{GATEWAY}:{PORT}",
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
        """Make a bucket; returns how `--to` names it."""
        (self._buckets / name).mkdir()
        return f"s3:http://{GATEWAY}:{PORT}/{name}"

    def close(self) -> None:
        """End it."""
        self._daemon.kill()

    def _answers(self) -> bool:
        assert self._daemon.is_running, self._daemon.last_words
        probe = f"</dev/tcp/{GATEWAY}/{PORT}"
        command = [*self._network.starter(), "bash", "-c", probe]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
