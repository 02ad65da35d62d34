"""Copies of images that are in use: all cut at one moment, none of them torn.

Mounted filesystems are frozen for that moment. Without reflinks the moment lasts as long as copying
the data takes. A raw device cannot be frozen, so its counters tell whether it was written to.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from controller import image_data, image_file
from controller.image_file import Draft
from csi.errors import Busy, PoolFull, Unavailable
from node import freeze, loop_device, mounts
from node.loop_device import LoopDevices

log = logging.getLogger(__name__)

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy to be made: of what (as the user knows it), in which file, into which draft."""

    what: str
    source: Path
    draft: Draft


def cut(copies: Sequence[Copy], devices: LoopDevices) -> int:
    """Make all copies and return the moment that they show, in ns since the epoch.

    Raises:
        FileNotFoundError: a source is gone.
        Busy: a raw device was written to all the time, or a filesystem is frozen already.
        PoolFull: no room for the data.
    """
    with ExitStack() as stack:
        # Everybody locks in the same order, so nobody waits for one who waits for him.
        paths = sorted({one.source for one in copies})
        sources = {path: stack.enter_context(image_file.locked(path)) for path in paths}
        for _ in range(_TRIES):
            moment = _cut_once(copies, sources, devices)
            if moment is not None:
                return moment
    written = " or ".join(dict.fromkeys(one.what for one in copies))
    raise Busy(
        f"{written} is written to as a raw device all the time, and the filesystem of the pool's "
        f"folder has no reflinks to copy it at one moment; try again when it rests"
    )


def _cut_once(
    copies: Sequence[Copy], sources: Mapping[Path, int], devices: LoopDevices
) -> int | None:
    """Make all copies; None if somebody wrote to a source meanwhile."""
    found = (devices.find(path) for path in sources)
    attached = [device for device in found if device is not None]
    for device in attached:
        loop_device.flush(device)
    with freeze.frozen(attached):
        moment = time.time_ns()
        before = [loop_device.activity(device) for device in attached]
        at_once = True
        for one in copies:
            one.draft.empty()
            at_once &= _copy(one, sources[one.source])
        after = [loop_device.activity(device) for device in attached]
    return moment if at_once or (before == after and None not in before) else None


def _copy(one: Copy, source: int) -> bool:
    try:
        return image_data.copy(source, one.draft.fd)
    except PoolFull as error:
        raise PoolFull(f"no room to copy {one.what}: {error}") from None


def thaw_left_frozen(folder: Path) -> None:
    """Thaw the filesystems of images that a killed process left frozen, if no copy is under way."""
    for device, image in loop_device.shown(folder):
        with suppress(BlockingIOError, FileNotFoundError), image_file.locked(image, wait=False):
            _thaw(device)


def _thaw(device: Path) -> None:
    for mount in mounts.of_device(device):
        try:
            if freeze.thaw(mount.target):
                log.warning("%s was left frozen; thawed it", mount.target)
                return
        except Unavailable as error:
            log.warning("%s", error)
