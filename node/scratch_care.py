"""Deletes scratch volumes that have outlived their pods.

kubelet has them deleted when a pod ends. It does not when it was told that making one had failed,
while a killed driver had made it after all; nor when somebody has removed the pod's folder by hand.
"""

import logging
import threading
from pathlib import Path

from csi.disk import Disk
from csi.errors import Busy, DiskError, NotFound
from csi.serial import Claim, Turnstile
from node.devices import ScratchPool
from node.scratch import ScratchVolumes

log = logging.getLogger(__name__)

INTERVAL = 60.0
"""Seconds between two looks."""


class ScratchCare:
    """Looks at the start, and again and again."""

    def __init__(
        self,
        pool: ScratchPool,
        volumes: ScratchVolumes,
        kubelet_dir: Path,
        turnstile: Turnstile,
        *,
        interval: float = INTERVAL,
    ) -> None:
        """Prepare; nothing happens before `start`.

        Args:
            pool: says which scratch volumes there are.
            volumes: deletes one.
            kubelet_dir: kubelet's --root-dir: a pod that is on this node has a folder there.
            turnstile: keeps calls for the same volume away.
            interval: seconds between two looks.
        """
        self._pool = pool
        self._volumes = volumes
        self._pods = kubelet_dir / "pods"
        self._turnstile = turnstile
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scratch", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._stop.set()
        self._thread.join()

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

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except DiskError as error:
                log.warning("cannot look for scratch volumes without pods now: %s", error)
            except Exception:
                log.exception("a mistake in the care for scratch volumes")
            if self._stop.wait(self._interval):
                return
