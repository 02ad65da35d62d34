"""CreateVolume: from a request to a disk, new or the one that exists and fits.

Idempotency is a step of its own, `mismatch`: the pool returns an existing disk as it is, and it is
compared with what was asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from controller import parameters, sizes, volumes
from controller.nodes import Nodes
from controller.parameters import Parameters
from controller.sizes import SizeRange
from controller.topology import allowed
from csi import local_id, wish
from csi.capability import Capability
from csi.disk import (
    DEFAULT_FILESYSTEM,
    DEFAULT_LEASE_TIMEOUT,
    Content,
    Disk,
    Snapshot,
    Source,
    SourceKind,
)
from csi.errors import Incompatible, InvalidRequest, NotFound, PoolFull
from csi.stubs import csi_pb2
from node.filesystems import MINIMUM_SIZE


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for a disk, checked as far as that is possible without looking at the pool."""

    name: str
    size: SizeRange
    parameters: Parameters
    filesystem: str | None = None
    """What is asked for explicitly; None leaves it to the source or the default."""
    mounted: bool = True
    """Whether it may be used as a filesystem, rather than as a raw device only."""
    source: Source | None = None


class Creation:
    """Makes disks in pools."""

    def __init__(self, nodes: Nodes, granularity: Callable[[], int]) -> None:
        """Args: nodes: where the disks go; granularity: what their pools round sizes up to."""
        self._nodes = nodes
        self._granularity = granularity

    def create(self, request: csi_pb2.CreateVolumeRequest) -> Disk:
        """Make the disk of a CreateVolume request, or return it if it exists and fits.

        Raises:
            InvalidRequest: a field makes no sense, or contradicts another or the source.
            NotFound: the source does not exist.
            Incompatible: there is a disk of that name, but a different one.
            OutOfRange: no size fits the capacity_range.
            PoolFull: no room, or it must not be on a node that has a pool.
        """
        wanted = parse(request)
        requirement, what = request.accessibility_requirements, f'disk "{wanted.name}"'
        return self.make(wanted, allowed(self._nodes.names(), requirement, what))

    def make(self, wanted: Wanted, on: Sequence[str]) -> Disk:
        """Make the disk, or return it if it exists and fits; raises what `create` raises.

        Args:
            wanted: the disk.
            on: the nodes where it may be, the best first; a copy goes to its source's.
        """
        try:
            plan = self._planned(wanted)
            node = self._nodes.origin_node(plan) if plan.source else on[0]
            if node not in on:
                raise PoolFull(
                    f'disk "{wanted.name}" can only be on node "{node}", where its source is'
                )
            found = self._nodes.create(replace(plan, node=node))
        except NotFound:
            # The source may have been deleted since a first call, which this one repeats.
            existing = self._existing(wanted)
            if existing is None:
                raise
            found = existing
        difference = mismatch(found, wanted)
        if difference:
            raise Incompatible(f'disk "{wanted.name}" exists, but {difference}')
        return found

    def _existing(self, wanted: Wanted) -> Disk | None:
        try:
            return self._nodes.get(wanted.name)
        except NotFound:
            return None

    def _planned(self, wanted: Wanted) -> Disk:
        plan = Disk(
            name=wanted.name,
            size=0,
            filesystem=wanted.filesystem or DEFAULT_FILESYSTEM,
            content=Content.PENDING if wanted.mounted else Content.RAW,
            created_by=wanted.parameters.creator,
            source=wanted.source,
            lease_timeout=wanted.parameters.lease_timeout or DEFAULT_LEASE_TIMEOUT,
            read_ahead_kib=wanted.parameters.read_ahead_kib,
        )
        if wanted.source is None:
            minimum = MINIMUM_SIZE[plan.filesystem] if wanted.mounted else 1
            needs = f"a disk for {plan.filesystem} needs" if wanted.mounted else "a disk needs"
            return self._sized(plan, wanted.size, minimum, sizes.DEFAULT_SIZE, needs)
        origin = self._origin(wanted.source)
        if wanted.filesystem not in {None, origin.filesystem}:
            raise InvalidRequest(
                f'disk "{wanted.name}" cannot be {wanted.filesystem}: its source, '
                f'{wanted.source.kind} "{wanted.source.name}", is {origin.filesystem}'
            )
        plan = replace(plan, filesystem=origin.filesystem)
        needs = f'{wanted.source.kind} "{wanted.source.name}" needs'
        return self._sized(plan, wanted.size, origin.size, origin.size, needs)

    def _sized(self, plan: Disk, wanted: SizeRange, minimum: int, default: int, why: str) -> Disk:
        size = sizes.choose(
            wanted, minimum=minimum, default=default, granularity=self._granularity, why=why
        )
        return replace(plan, size=size)

    def _origin(self, source: Source) -> Disk | Snapshot:
        if source.kind is SourceKind.SNAPSHOT:
            return self._nodes.get_snapshot(source.name)
        return self._nodes.get(source.name)


def parse(request: csi_pb2.CreateVolumeRequest) -> Wanted:
    """Check a CreateVolume request; raises InvalidRequest."""
    if local_id.is_local(request.name):
        raise InvalidRequest(
            f'a disk cannot be called "{request.name}": '
            f"names that begin with {local_id.PREFIX} are those of local disks"
        )
    capabilities = volumes.parse_capabilities(request.volume_capabilities)
    given = parameters.parse(request.parameters, request.mutable_parameters)
    has_source = request.HasField("volume_content_source")
    source = volumes.parse_source(request.volume_content_source) if has_source else None
    if source and source.kind is SourceKind.DISK and local_id.is_local(source.name):
        raise InvalidRequest(f'the local disk "{source.name}" cannot be cloned: it is a folder')
    return Wanted(
        name=request.name,
        size=SizeRange.of(request.capacity_range),
        parameters=given,
        filesystem=filesystem_of(given, capabilities),
        mounted=any(not one.block for one in capabilities),
        source=source,
    )


def filesystem_of(given: Parameters, capabilities: Sequence[Capability]) -> str | None:
    """Return the one filesystem asked for, None when none is; raises InvalidRequest."""
    return parameters.agree_on_filesystem(
        given.filesystem, *(one.filesystem for one in capabilities)
    )


def mismatch(disk: Disk, wanted: Wanted) -> str:
    """Say how an existing disk differs from what is wanted, empty when it fits.

    What the request leaves open fits any disk.
    """
    if disk.scratch_for:
        return "it is a scratch volume, which goes with its pod; choose another name"
    if not wanted.size.admits(disk.size):
        return f"it has {disk.size} bytes, not {wanted.size}"
    if disk.source != wanted.source:
        return f"it is {_origin_in_words(disk.source)}, not {_origin_in_words(wanted.source)}"
    asked = wanted.parameters
    facts = (
        (wish.FILESYSTEM, disk.filesystem, wanted.filesystem),
        (wish.CREATED_BY, disk.created_by, asked.created_by),
        (wish.LEASE_TIMEOUT, disk.lease_timeout, asked.lease_timeout),
        (parameters.READ_AHEAD, disk.read_ahead_kib, asked.read_ahead_kib),
    )
    for what, has, wants in facts:
        if wants is not None and has != wants:
            return f"its {what} is {has}, not {wants}"
    return ""


def _origin_in_words(source: Source | None) -> str:
    return f'a copy of {source.kind} "{source.name}"' if source else "a disk of its own"
