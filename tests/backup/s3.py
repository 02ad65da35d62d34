"""A real S3 server, which keeps buckets as folders."""

import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "miren", "AWS_SECRET_ACCESS_KEY": "a key that nobody sees"}


class S3:
    """The server and its one bucket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bucket = folder / "backups"
        self.bucket.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def repository(self) -> str:
        return f"s3:http://{self._address}/{self.bucket.name}"

    def start(self) -> None:
        environ = {
            "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        self._process = subprocess.Popen(
            [go_program("versitygw"), "--port", self._address, "posix", self._folder],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, "the S3 server answers", within=30)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self._address}/", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True
