"""A real Prometheus that scrapes one target every second."""

import json
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

import yaml

from tests.cluster.waiting import wait_until

JOB = "miren-system/miren-csi"
"""What prometheus-operator calls the job of our PodMonitor."""


class QueryError(Exception):
    """Prometheus refuses a query; its own sentence."""


class Prometheus:
    """Debian's Prometheus."""

    def __init__(self, folder: Path, target: str, rules: Path) -> None:
        """Args: folder: for its data; target: HOST:PORT; rules: a file of them."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self._folder = folder
        self._config = folder / "prometheus.yaml"
        self._config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(rules)],
                    "scrape_configs": [
                        {"job_name": JOB, "static_configs": [{"targets": [target]}]},
                    ],
                }
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        log = self._folder / "prometheus.log"
        with log.open("wb") as output:
            self._process = process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._config}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self._address}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5):
                    return True
            except OSError:
                return False

        wait_until(is_ready, "Prometheus is ready", within=30)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query; raises QueryError."""
        query = urllib.parse.urlencode({"query": expression})
        found: list[dict[str, Any]] = self._get(f"query?{query}")["result"]
        return found

    def metrics(self) -> set[str]:
        """The names that the target has a HELP or TYPE line for."""
        return set(self._get("metadata"))

    def rules(self) -> list[dict[str, Any]]:
        """All rules, and how their last evaluation went."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(
                f"http://{self._address}/api/v1/{path}", timeout=30
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise QueryError(json.load(error)["error"]) from None
