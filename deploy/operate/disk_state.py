"""How a disk is, in Miren's words."""

from enum import StrEnum


class DiskState(StrEnum):
    """How a disk is."""

    PROVISIONING = "provisioning"
    """A PersistentVolume stands for it, but no pool has it: its first pod makes it."""
    ATTACHED = "attached"
    """Somebody holds its lease."""
    DETACHED = "detached"
    """Nobody does."""
    DELETING = "deleting"
    """Its PersistentVolume is being deleted."""
    ERROR = "error"
    """Its device or filesystem is damaged."""
    DELETED = "deleted"
    """It was there a moment ago: only who watches sees it."""


BLOCK = "block"
"""What stands for the filesystem of a disk that is used as a raw device."""
