"""The page /disks: what only a host knows of its disks, and what is no figure, as JSON."""

import json
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from controller.pool_looks import PoolLooks, UsedDisk
from csi.errors import DiskError
from csi.http_server import Page

_JSON = "application/json"


class DiskPage:
    """Made anew for each who asks; what it tells is as old as in /metrics."""

    def __init__(self, looks: PoolLooks) -> None:
        """Args: what is found of the pool."""
        self._looks = looks

    def page(self) -> Page:
        """Return all disks of the pool by their names; what is not known is missing.

        `{"disks": {NAME: {"place": …, "device": …, "mounts": […], "space": …, "problems": […]}}}`;
        all but `place` only of disks that the host uses. Sizes are bytes.
        """
        try:
            inventory, used = self._looks.inventory(), self._looks.used()
        except (DiskError, OSError) as error:  # a TimeoutError is one of the latter
            return Page(f"the pool does not answer: {error}\n", HTTPStatus.SERVICE_UNAVAILABLE)
        told = {one.disk.name: _told(one) for one in used}
        disks = {
            name: {"place": self._looks.place(name), **told.get(name, {})}
            for name in (one.disk.name for one in inventory.disks)
        }
        return Page(json.dumps({"disks": disks}), kind=_JSON)


def _told(used: UsedDisk) -> dict[str, Any]:
    space = used.space
    return {
        "device": str(used.device),
        "mounts": [
            {
                "path": str(one.target),
                "filesystem": one.fstype,
                "options": sorted(one.options),
                "filesystemOptions": sorted(one.super_options),
            }
            for one in used.mounts
        ],
        "space": space and {"totalBytes": space.total, "availableBytes": space.available},
        "problems": [asdict(one) for one in used.conditions],
    }
