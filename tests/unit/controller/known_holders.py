"""Who stands behind a disk, as a test says it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.workloads import Volume
from tests.unit.controller.cluster_objects import seen_volume


@dataclass(slots=True)
class KnownHolders:
    """Knows one pod for each disk, and who is gone."""

    pods: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    annotations: dict[str, str] = field(default_factory=dict)
    """Of the PersistentVolume that every disk has."""
    meanwhile: Callable[[], object] = lambda: None
    """What happens just after a holder was found to be there or gone."""

    def volume(self, disk: str) -> Volume | None:
        return seen_volume(disk, annotations=self.annotations)

    def holder(self, volume: Volume, node: str) -> str:  # noqa: ARG002
        return self.pods.get(volume.disk, "")

    def is_gone(self, holder: str, disk: str, node: str) -> bool:  # noqa: ARG002
        answer = holder in self.gone
        self.meanwhile()
        return answer
