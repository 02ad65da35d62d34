"""Somebody with an app's folder, a kubeconfig and `kubectl miren`."""

import subprocess
import uuid
from pathlib import Path

from tests.cluster.apps import Apps
from tests.cluster.cluster import Cluster

IMAGE = "busybox:1.35"
"""The app's built image."""


class Developer:
    """Somebody with an app's folder and a kubeconfig."""

    def __init__(self, kubernetes: Cluster, apps: Apps, folder: Path) -> None:
        """Args: apps: the namespace; folder: where the app's is, or will be."""
        self._kubernetes = kubernetes
        self.apps = apps
        self.app = f"shop{uuid.uuid4().hex[:6]}"
        self.file = folder / ".miren" / "app.toml"
        """The app's."""
        self.file.parent.mkdir(parents=True)

    def writes(self, *lines: str) -> None:
        """Save this as app.toml."""
        self.file.write_text("\n".join([f'name = "{self.app}"', *lines]))

    def runs(self, *words: str, within: float = 150) -> "subprocess.CompletedProcess[str]":
        """Run kubectl-miren in the app's namespace."""
        namespace = ("--namespace", self.apps.namespace)
        return self._kubernetes.miren(*words, *namespace, within=within)

    def deploys(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Deploy the app, which has to work."""
        done = self.runs("deploy", str(self.file), "--image", IMAGE, *words)
        assert done.returncode == 0, done.stderr
        assert "unbound immediate" not in done.stderr  # the scheduler's words are not a user's
        return done

    def fails(self, *words: str) -> str:
        """Deploy the app, which has to fail without a traceback; returns what is said."""
        done = self.runs("deploy", str(self.file), "--image", IMAGE, *words)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def in_pod(self, service: str, command: str) -> str:
        """Run a shell command in the running pod of a service."""
        deployment = f"deployment/{self.app}-{service}"
        return self.apps.kubectl("exec", deployment, "--", "sh", "-c", command)

    def names(self, kind: str) -> set[str]:
        """The app's objects of a kind."""
        found = self.apps.get(kind, "--selector", f"app.kubernetes.io/name={self.app}")["items"]
        return {str(one["metadata"]["name"]) for one in found}
