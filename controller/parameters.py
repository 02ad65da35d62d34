"""The key-value pairs of StorageClasses, VolumeAttributesClasses and PVs, parsed into types."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from controller import sizes
from csi.disk import FILESYSTEMS
from csi.duration import parse_duration
from csi.errors import InvalidRequest
from csi.wish import CREATED_BY, FILESYSTEM, LEASE_TIMEOUT, READ_ONLY, SIZE

READ_AHEAD = "readAheadKiB"
PROVIDER = "provider"

KUBERNETES = "csi.storage.k8s.io/"
"""Keys below it are Kubernetes' own: the sidecars add them, and more of them with each version."""

IMMUTABLE = (CREATED_BY, FILESYSTEM, LEASE_TIMEOUT)
MUTABLE = (READ_AHEAD,)

_FS_TYPE = KUBERNETES + "fstype"
_PVC = (KUBERNETES + "pvc/namespace", KUBERNETES + "pvc/name")
_POD = (KUBERNETES + "pod.namespace", KUBERNETES + "pod.name")

_LARGEST_READ_AHEAD = 16384
_PAGE_KIB = 4
_LONGEST_CREATOR = 63 + len("/") + 253
"""Bytes; the longest namespace/name that Kubernetes allows."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a request says about a new disk; None where it says nothing."""

    filesystem: str | None = None
    created_by: str | None = None
    lease_timeout: float | None = None
    """Seconds."""
    read_ahead_kib: int | None = None
    claim: str = ""
    """`namespace/name` of the PVC that it is for: its creator when nobody names a better one."""

    @property
    def creator(self) -> str:
        """Who creates the disk, empty when nobody says."""
        return self.claim if self.created_by is None else self.created_by


def parse(immutable: Mapping[str, str], mutable: Mapping[str, str]) -> Parameters:
    """Parse `parameters` and `mutable_parameters`, which take precedence over the former.

    Raises:
        InvalidRequest: a key is unknown or a value makes no sense; the sentence names the key.
    """
    _refuse_unknown(immutable, (*IMMUTABLE, *MUTABLE), "parameter")
    ahead = parse_mutable(mutable)
    if ahead is None and READ_AHEAD in immutable:
        ahead = _read_ahead(immutable[READ_AHEAD])
    return Parameters(
        filesystem=_filesystem(immutable),
        created_by=_creator(immutable[CREATED_BY]) if CREATED_BY in immutable else None,
        lease_timeout=_lease_timeout(immutable),
        read_ahead_kib=ahead,
        claim=_creator(_joined(immutable, _PVC)),
    )


def parse_mutable(mutable: Mapping[str, str]) -> int | None:
    """Return the read-ahead in KiB that `mutable_parameters` ask for, None when they do not.

    Raises:
        InvalidRequest: a key is unknown or a value makes no sense; the sentence names the key.
    """
    _refuse_unknown(mutable, MUTABLE, "mutable parameter")
    return _read_ahead(mutable[READ_AHEAD]) if READ_AHEAD in mutable else None


def parse_none(parameters: Mapping[str, str], of: str) -> None:
    """Check the parameters of snapshots and groups, which have none but Kubernetes' own."""
    _refuse_unknown(parameters, (), f"{of} parameter")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a PV says about its disk (`csi.wish`) and the CO about who wants it.

    Whoever writes a PV by hand may add keys of his own: unknown ones are nobody's mistake.
    """

    wish: Mapping[str, str]
    """As it came: most of it matters only when the disk is missing, and is checked only then."""

    @property
    def pod(self) -> str:
        """`namespace/name` of the pod that wants the disk, empty when the CO does not say."""
        return _joined(self.wish, _POD)

    @property
    def size(self) -> int | None:
        """Bytes that the disk should have, None when not said; raises InvalidRequest."""
        return sizes.parse_quantity(self.wish[SIZE]) if self.wish.get(SIZE) else None

    @property
    def lease_timeout(self) -> float | None:
        """Seconds to wait for the lease, None when not said; raises InvalidRequest."""
        return _lease_timeout(self.wish)

    @property
    def read_only(self) -> bool:
        """Whether nothing may be written to the disk; raises InvalidRequest."""
        said = self.wish.get(READ_ONLY, "false")
        if said not in {"true", "false"}:
            raise InvalidRequest(f'{READ_ONLY} "{said}" must be "true" or "false"')
        return said == "true"

    @property
    def parameters(self) -> Parameters:
        """What it says about a disk that has to be created; raises InvalidRequest."""
        known = {key: value for key, value in self.wish.items() if key in IMMUTABLE and value}
        return parse(known, {})


def agree_on_filesystem(*said: str | None) -> str | None:
    """Return the filesystem that several places ask for, None when none of them does.

    Raises:
        InvalidRequest: they ask for different ones.
    """
    asked = sorted({one for one in said if one})
    if len(asked) > 1:
        raise InvalidRequest(
            f"the request asks for several filesystems at once: {', '.join(asked)}; "
            f"the parameter {FILESYSTEM} and every fs_type must be the same"
        )
    return asked[0] if asked else None


def _refuse_unknown(given: Mapping[str, str], known: Collection[str], what: str) -> None:
    unknown = [key for key in given if key not in known and not key.startswith(KUBERNETES)]
    if unknown:
        hint = f"known: {', '.join(sorted(known))}" if known else "there are none"
        raise InvalidRequest(f'unknown {what} "{min(unknown)}"; {hint}')


def _filesystem(given: Mapping[str, str]) -> str | None:
    for key in (FILESYSTEM, _FS_TYPE):
        if given.get(key, "") not in {"", *FILESYSTEMS}:
            raise InvalidRequest(
                f'{key} "{given[key]}" is not supported; use {", ".join(FILESYSTEMS)}'
            )
    return agree_on_filesystem(given.get(FILESYSTEM), given.get(_FS_TYPE))


def _creator(text: str) -> str:
    if len(text.encode()) > _LONGEST_CREATOR or _CONTROL.search(text):
        raise InvalidRequest(
            f"{CREATED_BY} must be at most {_LONGEST_CREATOR} bytes long, "
            "without control characters"
        )
    return text


def _lease_timeout(given: Mapping[str, str]) -> float | None:
    if LEASE_TIMEOUT not in given:
        return None
    try:
        return parse_duration(given[LEASE_TIMEOUT])
    except ValueError as error:
        raise InvalidRequest(f"{LEASE_TIMEOUT} {error}") from None


def _read_ahead(text: str) -> int:
    kib = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else -1
    if not 0 <= kib <= _LARGEST_READ_AHEAD or kib % _PAGE_KIB:
        raise InvalidRequest(
            f'{READ_AHEAD} "{text}" must be a whole number from 0 to {_LARGEST_READ_AHEAD}, '
            f"a multiple of {_PAGE_KIB}: the kernel reads ahead in pages"
        )
    return kib


def _joined(given: Mapping[str, str], keys: tuple[str, str]) -> str:
    namespace, name = (given.get(key, "") for key in keys)
    return f"{namespace}/{name}" if namespace and name else ""
