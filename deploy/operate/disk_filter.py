"""Which disks a list shows."""

import argparse
from dataclasses import dataclass
from typing import Self

from deploy import labels
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.figures import Figures
from deploy.operate.overview import DiskFacts, of_all


@dataclass(frozen=True, slots=True)
class Filter:
    """What a disk has to be; None is anything."""

    selector: str
    """Of its PersistentVolume's labels; empty is anything."""
    app: str | None
    namespace: str | None
    state: str | None
    node: str | None
    filesystem: str | None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """Return what the command line asks for."""
        return cls(**{name: getattr(arguments, name) for name in cls.__dataclass_fields__})

    def judged(self, cluster: DiskCluster, figures: Figures) -> list[tuple[DiskFacts, bool]]:
        """Return the disks with such labels, sorted by name, and whether each is so."""
        found = of_all(cluster, figures, self.selector)
        claims = _claims(cluster, self.app) if self.app else frozenset()
        return [(disk, self._fits(disk) and self._is_of_app(disk, claims)) for disk in found]

    def _fits(self, disk: DiskFacts) -> bool:
        return (
            self.state in {None, disk.state}
            and self.node in {None, disk.node}
            and self.filesystem in {None, disk.filesystem}
            and self.namespace in {None, disk.claim.partition("/")[0]}
        )

    def _is_of_app(self, disk: DiskFacts, claims: frozenset[str]) -> bool:
        # A disk outlives the app that made it, and may be another one's by then.
        return self.app is None or (
            disk.claim in claims if disk.claim else disk.created_by == self.app
        )


def _claims(cluster: DiskCluster, app: str) -> frozenset[str]:
    """Return the claims of an app, as `namespace/name`."""
    found = cluster.api.list(
        "/api/v1/persistentvolumeclaims", {"labelSelector": f"{labels.APP}={app}"}
    )
    return frozenset(f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in found)
