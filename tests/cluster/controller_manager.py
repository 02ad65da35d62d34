"""The part of kube-controller-manager that binds volumes and claims, beside an ApiServer."""

import subprocess
from pathlib import Path
from typing import Self

from tests.cluster.programs import go_program

CONTROLLERS = (
    "persistentvolume-binder-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
)


class ControllerManager:
    """Runs while its `with` lasts."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        """Args: folder: for its log; kubeconfig: of an admin."""
        self._folder = folder
        self._kubeconfig = kubeconfig

    def __enter__(self) -> Self:
        with (self._folder / "kube-controller-manager.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    go_program("kube-controller-manager"),
                    f"--kubeconfig={self._kubeconfig}",
                    "--leader-elect=false",
                    "--secure-port=0",
                    f"--controllers={','.join(CONTROLLERS)}",
                    "--pvclaimbinder-sync-period=2s",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
