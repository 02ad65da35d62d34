"""What a backup says of the disk that it was made of."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from csi.errors import InvalidRequest

Mode = Literal["filesystem", "block"]


@dataclass(frozen=True, slots=True)
class About:
    """A disk at the moment of a backup."""

    disk: str
    """Its name."""
    size: int
    """Its size in bytes."""
    mode: Mode
    """Whether it had a filesystem of ours or was a raw device."""
    filesystem: str = ""
    """ext4, xfs or btrfs; empty for a raw device."""
    cluster: str = ""
    """The uid of the cluster's kube-system namespace, when that is known."""
    time: str = ""
    """The moment that the backup shows, as RFC 3339 has it."""

    def moment(self) -> datetime | None:
        """The time, in UTC; None when it is not known."""
        return datetime.fromisoformat(self.time).astimezone(UTC) if self.time else None

    def facts(self) -> dict[str, object]:
        """The same as JSON's values."""
        return asdict(self)


def parse(text: str | bytes) -> About:
    """Read the JSON that `--about` has; what it says besides is left out.

    Raises InvalidRequest naming what is wrong.
    """
    try:
        about = msgspec.json.decode(text, type=About)
        about.moment()
    except (msgspec.MsgspecError, ValueError, UnicodeError) as error:
        raise InvalidRequest(
            f"this says nothing about a disk that can be understood: {error}"
        ) from error
    if not about.disk or about.size <= 0:
        raise InvalidRequest("what is said about the disk lacks its name or its size")
    return about
