"""Deletes scratch volumes that have outlived their pods.

kubelet has them deleted when a pod ends. It does not when it was told that making one had failed,
while a killed driver had made it after all; nor when somebody has removed the pod's folder by hand.
"""

import logging
from pathlib import Path

from csi.disk import Disk
from csi.errors import Busy, DiskError, NotFound
from csi.serial import Claim, Turnstile
from node.devices import ScratchPool
from node.scratch import ScratchVolumes

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two looks."""


class ScratchCare:
    """Finds them when it is told to look."""

    def __init__(
        self,
        pool: ScratchPool,
        volumes: ScratchVolumes,
        kubelet_dir: Path,
        turnstile: Turnstile,
    ) -> None:
        """Make it.

        Args:
            pool: says which scratch volumes there are.
            volumes: deletes one.
            kubelet_dir: kubelet's --root-dir: a pod that is on this node has a folder there.
            turnstile: keeps calls for the same volume away.
        """
        self._pool = pool
        self._volumes = volumes
        self._pods = kubelet_dir / "pods"
        self._turnstile = turnstile

    def look(self) -> None:
        """Delete what has no pod any more; what cannot be deleted now is left for the next look.

        Raises Unavailable when the pool does not answer.
        """
        for disk in self._pool.scratch():
            # Without this folder kubelet is elsewhere, and nothing is known of its pods.
            if self._pods.is_dir() and not (self._pods / disk.scratch_for).exists():
                self._discard(disk)

    def _discard(self, disk: Disk) -> None:
        log.warning("pod %s is gone; deleting scratch volume %s", disk.scratch_for, disk.name)
        try:
            with self._turnstile.pass_through([Claim("disk", disk.name)]):
                self._volumes.discard(disk.name)
        except (Busy, NotFound) as error:
            log.info("scratch volume %s is left for now: %s", disk.name, error)
        except DiskError as error:
            log.warning("scratch volume %s cannot be deleted: %s", disk.name, error)
