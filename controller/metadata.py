"""The CSI SnapshotMetadata service: which blocks of a snapshot are written, or differ (alpha)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from controller.nodes import Nodes
from csi.disk import Extent, Snapshot
from csi.errors import InvalidRequest, OutOfRange
from csi.stubs import csi_pb2, csi_pb2_grpc

TUPLES = 256
"""How many ranges a message has when the request does not say: a few KiB."""


class SnapshotMetadataService(csi_pb2_grpc.SnapshotMetadataServicer):
    """Streams ranges of bytes; a stream that ends without an error is complete."""

    def __init__(self, nodes: Nodes) -> None:
        """Args: nodes: of the snapshots."""
        self._nodes = nodes

    def GetMetadataAllocated(
        self, request: csi_pb2.GetMetadataAllocatedRequest, context: Any
    ) -> Iterator[csi_pb2.GetMetadataAllocatedResponse]:
        """Stream what was ever written in a snapshot.

        Raises NotFound, InvalidRequest, OutOfRange.
        """
        snapshot = self._nodes.get_snapshot(request.snapshot_id)
        _check_offset(request.starting_offset, snapshot)
        extents = _from(request.starting_offset, self._nodes.allocated(snapshot))
        for ranges in _messages(extents, request.max_results):
            yield csi_pb2.GetMetadataAllocatedResponse(
                block_metadata_type=csi_pb2.VARIABLE_LENGTH,
                volume_capacity_bytes=snapshot.size,
                block_metadata=ranges,
            )

    def GetMetadataDelta(
        self, request: csi_pb2.GetMetadataDeltaRequest, context: Any
    ) -> Iterator[csi_pb2.GetMetadataDeltaResponse]:
        """Stream what differs between two snapshots of one disk.

        Raises NotFound, InvalidRequest, OutOfRange.
        """
        base = self._nodes.get_snapshot(request.base_snapshot_id)
        target = self._nodes.get_snapshot(request.target_snapshot_id)
        _check_pair(base, target)
        _check_offset(request.starting_offset, target)
        extents = _from(request.starting_offset, self._nodes.changed(base, target))
        for ranges in _messages(extents, request.max_results):
            yield csi_pb2.GetMetadataDeltaResponse(
                block_metadata_type=csi_pb2.VARIABLE_LENGTH,
                volume_capacity_bytes=target.size,
                block_metadata=ranges,
            )


def _check_pair(base: Snapshot, target: Snapshot) -> None:
    if base.disk != target.disk:
        raise InvalidRequest(
            f'snapshots "{base.name}" and "{target.name}" cannot be compared: '
            f'they are of different disks, "{base.disk}" and "{target.disk}"'
        )
    if base.name == target.name or target.created_ns < base.created_ns:
        raise InvalidRequest(
            f'target_snapshot_id "{target.name}" must be a later snapshot than '
            f'base_snapshot_id "{base.name}"'
        )


def _check_offset(offset: int, snapshot: Snapshot) -> None:
    if not 0 <= offset <= snapshot.size:
        raise OutOfRange(
            f'starting_offset {offset} is not within snapshot "{snapshot.name}" '
            f"of {snapshot.size} bytes"
        )


def _from(offset: int, extents: Iterable[Extent]) -> Iterator[Extent]:
    return (one for one in extents if one.offset + one.length > offset)


def _messages(extents: Iterator[Extent], limit: int) -> Iterator[Sequence[csi_pb2.BlockMetadata]]:
    """Yield the ranges of each message; one message at least, as it also tells the capacity."""
    first = True
    while (some := list(islice(extents, limit or TUPLES))) or first:
        yield [csi_pb2.BlockMetadata(byte_offset=one.offset, size_bytes=one.length) for one in some]
        first = False
