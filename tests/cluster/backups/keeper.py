"""Who backs disks up, and what is in what comes back."""

import os
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.cluster.apps import Apps, Manifest, claim, pod, pod_spec
from tests.cluster.cluster import Cluster
from tests.cluster.driver import NAMESPACE
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node
from tests.cluster.programs import KUBECTL_MIREN
from tests.cluster.s3_server import KEY

OPENS = {"RESTIC_PASSWORD": "correct horse", **KEY}
_MOVERS = "disk.miren.dev/mover"


@dataclass(frozen=True)
class Keeper:
    """Somebody with an admin's kubeconfig, kubectl, and what opens repositories."""

    kubernetes: Cluster
    node: Node
    programs: Path
    """A folder with kubectl."""

    def does(self, *words: str) -> str:
        """kubectl miren disk, which has to work; returns what it prints."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def fails(self, *words: str, status: int = 1, opens: Mapping[str, str] = OPENS) -> str:
        """kubectl miren disk, which has to fail; returns what it says."""
        done = self.run(*words, opens=opens)
        assert (done.returncode, done.stdout) == (status, ""), f"{words}: {done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def run(
        self, *words: str, opens: Mapping[str, str] = OPENS
    ) -> "subprocess.CompletedProcess[str]":
        return self.kubernetes.run(
            KUBECTL_MIREN, "disk", *words, environment=self._environment(opens), within=300
        )

    def begins(self, *words: str) -> "subprocess.Popen[str]":
        """Start kubectl miren disk."""
        kubeconfig = {"KUBECONFIG": str(self.kubernetes.kubectl.kubeconfig)}
        return subprocess.Popen(
            [*self.kubernetes.network.starter(), KUBECTL_MIREN, "disk", *words],
            env={**os.environ, **self._environment(OPENS), **kubeconfig},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def runs_now(self, cron: str) -> str:
        """Have a schedule's CronJob run once, now, and to its end; returns what it logs."""
        job = f"{cron}-{uuid.uuid4().hex[:4]}"
        kubectl = partial(self.kubernetes.kubectl, "--namespace", NAMESPACE)
        kubectl("create", "job", f"--from=cronjob/{cron}", job)
        ends = ("wait", f"job/{job}", "--for=condition=Complete", "--timeout=120s")
        try:
            kubectl(*ends, within=130)
        except KubectlError as error:
            raise AssertionError(kubectl("logs", f"job/{job}")) from error
        return kubectl("logs", f"job/{job}")

    def movers(self, kind: str, *fields: str) -> list[str]:
        """The names of what movers consist of, as far as that is there and has these fields."""
        chosen = ("--selector", _MOVERS, "--field-selector", ",".join(fields))
        found = self.kubernetes.get(kind, *chosen, namespace=NAMESPACE)["items"]
        return [str(one["metadata"]["name"]) for one in found]

    def assert_nothing_is_left(self) -> None:
        """Neither objects, nor volumes, nor mounts."""
        left = {kind: self.movers(kind) for kind in ("job", "pod", "secret")}
        assert left == {"job": [], "pod": [], "secret": []}
        assert self.node.scratch_volumes() == []
        assert "miren-scratch" not in self.node.run("cat /proc/mounts")

    def _environment(self, opens: Mapping[str, str]) -> dict[str, str]:
        return {"PATH": f"{self.programs}:{os.environ['PATH']}", **opens}


def raw_pod(name: str, claimed: str) -> Manifest:
    """A pod that has a raw device."""
    return pod(name, {}) | {"spec": pod_spec({}, blocks={"/dev/disk": claimed})}


def records(apps: Apps, disk: str) -> list[int]:
    """What the writer's log on a restored disk holds, read by an app that claims it by name."""
    apps.apply(claim(disk, volume=disk), pod("reader", {"/data": disk}))
    apps.ready("reader", within=90)
    found = [int(line) for line in apps.run("reader", "cat /data/log").splitlines()]
    apps.delete("pod", "reader")
    apps.delete("pvc", disk)
    return found


def assert_holds(found: list[int], at_least: int) -> None:
    assert found == [*range(1, len(found) + 1)], "records are damaged"
    assert len(found) >= at_least
