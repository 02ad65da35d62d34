"""When a disk was last backed up: an annotation of its PersistentVolume."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from controller.capacity import human
from csi import KEY_PREFIX
from csi.kubernetes_api import KubernetesApi, Object
from deploy.operate.disk_cluster import VOLUMES
from deploy.operate.tables import age

KEY = f"{KEY_PREFIX}last-backup"


@dataclass(frozen=True, slots=True)
class LastBackup:
    """The last backup that was made."""

    time: str
    """RFC 3339."""
    to: str
    backup: str
    """Its ID in the repository; empty for a file."""
    bytes: int

    @property
    def moment(self) -> datetime:
        """The time."""
        return datetime.fromisoformat(self.time)

    @classmethod
    def of_volume(cls, volume: Object) -> Self | None:
        """Return what a PersistentVolume says, None if it says nothing that can be understood."""
        said = (volume["metadata"].get("annotations") or {}).get(KEY)
        try:
            facts = json.loads(said or "null")
            datetime.fromisoformat(facts["time"])
            return cls(facts["time"], facts["to"], facts.get("backup") or "", int(facts["bytes"]))
        except (ValueError, TypeError, KeyError):
            return None

    def patch(self) -> Object:
        """Return the change of a PersistentVolume that notes it."""
        return {"metadata": {"annotations": {KEY: json.dumps(self.document())}}}

    def document(self) -> dict[str, Any]:
        """Return it as it is noted, and as `-o json` shows it."""
        backup = self.backup or None
        return {"time": self.time, "to": self.to, "backup": backup, "bytes": self.bytes}

    def __str__(self) -> str:
        """Return it as a line for people."""
        ago = age(self.moment)
        named = f" as {self.backup}" if self.backup else ""
        return f"{ago} ago ({self.time}) to {self.to}{named}, {human(self.bytes)}"


def note(api: KubernetesApi, volume: str, last: LastBackup) -> None:
    """Note a backup with its disk's volume, unless a newer one is: a snapshot may be older.

    Raises DiskError, Conflict.
    """
    path = f"{VOLUMES}/{volume}"
    before = LastBackup.of_volume(api.get(path))
    if before is None or before.moment <= last.moment:
        api.patch(path, last.patch())
