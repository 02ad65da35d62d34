"""What a PersistentVolume says about the disk that it stands for, should that have to be made.

In annotations, since `spec.csi` can never be changed: an app.toml that is applied again with other
settings would be refused. A PV that is written by hand may say it in volumeAttributes, under the
same names as in a StorageClass; annotations win.
"""

from collections.abc import Mapping

from csi import KEY_PREFIX

SIZE = "size"
FILESYSTEM = "filesystem"
CREATED_BY = "createdBy"
LEASE_TIMEOUT = "leaseTimeout"
READ_ONLY = "readOnly"

_ANNOTATIONS = {
    SIZE: f"{KEY_PREFIX}size",
    FILESYSTEM: f"{KEY_PREFIX}filesystem",
    CREATED_BY: f"{KEY_PREFIX}created-by",
    LEASE_TIMEOUT: f"{KEY_PREFIX}lease-timeout",
    READ_ONLY: f"{KEY_PREFIX}read-only",
}


def to_annotations(wish: Mapping[str, str]) -> dict[str, str]:
    """Return a wish as annotations; raises KeyError for what is none."""
    return {_ANNOTATIONS[key]: value for key, value in wish.items()}


def of_volume(attributes: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, str]:
    """Return what a PV says, whatever else its volumeAttributes hold among it."""
    said = {key: annotations[name] for key, name in _ANNOTATIONS.items() if name in annotations}
    return {**attributes, **said}
