"""kubectl, as one user of the cluster."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.programs import go_program


class KubectlError(Exception):
    """kubectl failed; the message is what it said."""


class Kubectl:
    """Runs kubectl; `starter` starts a command in the cluster's network."""

    def __init__(self, starter: Sequence[str], kubeconfig: Path) -> None:
        self._starter = starter
        self.kubeconfig = kubeconfig

    def command(self, *arguments: str) -> list[str]:
        """The whole command, for who wants to start it in another way."""
        return [
            *self._starter,
            str(go_program("kubectl")),
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
        ]

    def __call__(self, *arguments: str, stdin: str | None = None, within: float = 60) -> str:
        """Run it; returns what it printed. Raises KubectlError."""
        said = " ".join(["kubectl", *arguments])
        try:
            ended = subprocess.run(
                self.command(*arguments),
                input=stdin if stdin is not None else "",
                capture_output=True,
                text=True,
                timeout=within,
                check=False,
            )
        except subprocess.TimeoutExpired as expired:
            raise KubectlError(f"{said}: not done after {within:g} s") from expired
        if ended.returncode != 0:
            raise KubectlError(f"{said}: {ended.stderr.strip()}")
        return ended.stdout
