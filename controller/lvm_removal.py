"""Removing LVs: what many callers want gone at one moment goes in one `lvremove`."""

from collections.abc import Sequence

from controller import lvm_errors
from controller.batch import Batch
from controller.device_mapper import DeviceMapper
from controller.lvm_group import VolumeGroup
from controller.lvm_session import Reply
from csi.errors import DiskError, DiskInUse, NotFound
from node import mounts


class LvmRemoval:
    """Removes LVs of one volume group; each caller hears what became of his own."""

    def __init__(self, group: VolumeGroup, mapper: DeviceMapper) -> None:
        """Args: the group and its devices."""
        self._group = group
        self._mapper = mapper
        self._batch = Batch(self._remove)

    def remove(self, lv: str) -> None:
        """Remove one LV with whatever else is being removed.

        Raises:
            NotFound: there is none of that name.
            DiskInUse: its device is mounted or open; the sentence begins with `it` or `its`.
        """
        device = self._mapper.path(lv)
        # LVM sees mounted filesystems, but not a raw device that is bound at a pod's path.
        places = mounts.users(device)
        if places:
            where = ", ".join(str(mount.target) for mount in places)
            raise DiskInUse(f"it is mounted at {where}")
        self._batch.do(lv)

    def _remove(self, lvs: Sequence[str]) -> dict[str, BaseException]:
        together = self._lvremove(lvs)
        if together.ok:
            return {}
        errors: dict[str, BaseException] = {}
        for lv in lvs:
            alone = self._lvremove([lv]) if len(lvs) > 1 else together
            missing = lvm_errors.missing(alone.message, self._group.path(lv))
            # One that is missing only at the second look went with the first command.
            if missing and lvm_errors.missing(together.message, self._group.path(lv)):
                errors[lv] = NotFound(f"{self._group.path(lv)} does not exist")
            elif not alone.ok and not missing:
                errors[lv] = self._error(lv, alone.message)
        return errors

    def _lvremove(self, lvs: Sequence[str]) -> Reply:
        return self._group.lvm.call("lvremove", "-y", "-f", *map(self._group.path, lvs))

    def _error(self, lv: str, message: str) -> DiskError:
        error = lvm_errors.failure(("lvremove", self._group.path(lv)), message, f"LV {lv}")
        return DiskInUse("its device is open") if isinstance(error, DiskInUse) else error
