"""What a node tells of one disk that is no figure: its page /disks, read by way of the API."""

import json
from dataclasses import dataclass
from typing import Any

from csi.errors import NotFound, Unavailable
from deploy.operate.driver import Driver

_NOT_SHOWN = {"ro", "rw"}


@dataclass(frozen=True, slots=True)
class NodeMount:
    """How a disk's filesystem is mounted on its node."""

    path: str
    filesystem: str
    options: tuple[str, ...]
    """Those of this mount point."""
    filesystem_options: tuple[str, ...]
    """Those of the filesystem, which all its mount points share."""

    @property
    def all_options(self) -> str:
        """Return both, as mount(8) shows them: what this mount point says wins."""
        first = "ro" if "ro" in {*self.options, *self.filesystem_options} else "rw"
        rest = {*self.options, *self.filesystem_options} - _NOT_SHOWN
        return ",".join([first, *sorted(rest)])


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a disk."""

    reason: str
    """In CamelCase, for machines."""
    message: str
    """For people; empty when only the reason is known."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node knows of a disk in its pool. What is not known is None or empty."""

    place: str = ""
    """Where the pool keeps it: VG/LV, or a file."""
    device: str = ""
    """Empty when the node does not use the disk."""
    mounts: tuple[NodeMount, ...] = ()
    total: int | None = None
    """Bytes of its filesystem."""
    available: int | None = None
    """Bytes of it that may still be written."""
    problems: tuple[Problem, ...] = ()

    @property
    def full(self) -> float | None:
        """Return the share of the filesystem that is taken, 0 to 1."""
        if not self.total or self.available is None:
            return None
        return 1 - self.available / self.total


UNKNOWN = NodeFacts()
"""What an older node plugin tells, which has no such page."""


def read(driver: Driver, node: str, disk: str) -> NodeFacts:
    """Ask the node plugin of a node; raises Unavailable when it does not answer."""
    pod = next((one for one in driver.pods("node") if one["spec"].get("nodeName") == node), None)
    if pod is None:
        return UNKNOWN
    try:
        told = json.loads(driver.page(pod, "disks"))["disks"].get(disk)
        return _facts(told) if told else UNKNOWN
    except NotFound:
        return UNKNOWN
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable("its driver is of another version, and tells other things") from error


def _facts(told: dict[str, Any]) -> NodeFacts:
    space = told.get("space") or {}
    return NodeFacts(
        place=told.get("place", ""),
        device=told.get("device", ""),
        mounts=tuple(map(_mount, told.get("mounts") or ())),
        total=space.get("totalBytes"),
        available=space.get("availableBytes"),
        problems=tuple(
            Problem(one["reason"], one["message"]) for one in told.get("problems") or ()
        ),
    )


def _mount(told: dict[str, Any]) -> NodeMount:
    return NodeMount(
        path=told["path"],
        filesystem=told["filesystem"],
        options=tuple(told["options"]),
        filesystem_options=tuple(told["filesystemOptions"]),
    )
