"""`kubectl miren deploy -o json` tells programs how each service is, also when one does not run."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.apps import Apps
from tests.cluster.cluster import Cluster
from tests.cluster.golden import GoldenApp

WEB = """
[services.web]
image = "busybox:1.35"
command = "nc -ll -p $PORT -e cat"
concurrency = { mode = "fixed", num_instances = 2 }
"""
JOB = """
[services.job]
image = "busybox:1.35"
command = 'trap exit TERM; sleep 1000000 & wait'
"""
CRASHES = """
[services.job]
image = "busybox:1.35"
command = 'echo no such table; exit 3'
"""


class Shop:
    """An app whose deployments a program reads."""

    def __init__(self, kubernetes: Cluster, apps: Apps, folder: Path) -> None:
        self.apps = apps
        self._kubernetes = kubernetes
        self._folder = folder / "shop"
        (self._folder / ".miren").mkdir(parents=True)

    def deploy(self, *tables: str) -> tuple[int, dict[str, Any], str]:
        """Deploy services; returns the status, what was printed and what was said."""
        app_toml = self._folder / ".miren" / "app.toml"
        app_toml.write_text("\n".join(['name = "shop"', *tables]))
        done = GoldenApp(self._kubernetes, self.apps, self._folder).deploy("-o", "json")
        return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture
def shop(kubernetes: Cluster, apps: Apps, tmp_path: Path) -> Shop:
    return Shop(kubernetes, apps, tmp_path)


def test_a_program_learns_which_service_runs_and_why_another_does_not(shop: Shop) -> None:
    namespace = shop.apps.namespace
    status, result, said = shop.deploy(WEB, JOB)
    assert (status, result["running"], result["error"]) == (0, True, None), said
    assert (result["app"], result["namespace"], result["disks"]) == ("shop", namespace, [])
    fine: dict[str, Any] = {"ready": True, "reason": None, "log": []}
    assert result["services"] == [
        {"name": "job", "address": f"shop-job.{namespace}.svc", "ready_instances": 1, **fine},
        {"name": "web", "address": f"shop-web.{namespace}.svc:3000", "ready_instances": 2, **fine},
    ]

    status, result, said = shop.deploy(WEB, CRASHES)

    assert (status, result["running"]) == (1, False)
    assert said.rstrip().endswith(f"kubectl-miren: {result['error']}")
    job, web = result["services"]
    assert not job["ready"]
    assert "status 3" in job["reason"]
    assert job["log"][-1] == "no such table"
    assert (web["ready"], web["ready_instances"], web["reason"]) == (True, 2, None)
