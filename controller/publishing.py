"""ControllerPublishVolume and its reverse: a disk is made if need be, and leased to an instance."""

import logging
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from controller import topology
from controller.creation import Creation, Wanted, filesystem_of
from controller.holders import NODE, Holders
from controller.lease import Claim
from controller.leases import Leases
from controller.nodes import Nodes
from controller.parameters import PROVIDER, Attributes
from controller.sizes import SizeRange
from csi import capability, local_id
from csi.capability import Capability
from csi.disk import Disk
from csi.errors import InvalidRequest, LeaseExpired, LeaseHeld, NotFound, PoolFull
from csi.stubs import csi_pb2

log = logging.getLogger(__name__)

READ_ONLY = "readonly"
"""The key of publish_context that tells the node to write nothing."""


class Publishing:
    """Gives disks to instances on the node that has them."""

    def __init__(
        self,
        nodes: Nodes,
        leases: Leases,
        holders: Holders,
        creation: Creation,
        *,
        max_volumes: int,
    ) -> None:
        """Publish disks.

        Args:
            nodes: where the disks are.
            leases: says who holds them.
            holders: knows for whom a disk is to be published.
            creation: makes those that an app names first.
            max_volumes: how many may be published on a node at once; 0 is no limit.
        """
        self._nodes = nodes
        self._leases = leases
        self._holders = holders
        self._creation = creation
        self._max_volumes = max_volumes
        # Counting and acquiring must be one step, but only where there is something to count.
        self._one_by_one: AbstractContextManager[object] = (
            threading.Lock() if max_volumes else nullcontext()
        )

    def publish(self, request: csi_pb2.ControllerPublishVolumeRequest) -> dict[str, str]:
        """Lease a disk to the instance that wants it and return the publish_context.

        Raises:
            InvalidRequest: a field makes no sense.
            NotFound: no such disk and no size to make it with, or no such node.
            PoolFull: no room to make it, or too many disks are published.
            LeaseHeld, LeaseExpired, Refused, Incompatible: as `Leases.acquire`.
        """
        local = local_id.is_local(request.volume_id)
        volume = self._holders.volume(request.volume_id)
        attributes = Attributes({**request.volume_context, **(volume.wish if volume else {})})
        _check_provider(request.volume_id, attributes)
        if local:
            local_id.parse(request.volume_id)
        use = capability.parse(request.volume_capability, local=local)
        read_only = request.readonly or use.read_only or attributes.read_only
        self._require_pool(request)
        if not local:
            disk = self._ensure(request, attributes, use)
            pod = attributes.pod
            if volume and use.exclusive and not pod:
                pod = self._holders.holder(volume, disk.node)
            self._lease(_claim(disk, attributes, use, pod=pod, read_only=read_only))
        return {READ_ONLY: "true"} if read_only else {}

    def unpublish(self, request: csi_pb2.ControllerUnpublishVolumeRequest) -> None:
        """Take a disk back from its holder on a node, or on all; fine when nobody holds it."""
        if not local_id.is_local(request.volume_id):
            self._leases.release(request.volume_id, request.node_id)

    def _require_pool(self, request: csi_pb2.ControllerPublishVolumeRequest) -> None:
        names = self._nodes.names()
        if request.node_id not in names:
            raise NotFound(
                f'node "{request.node_id}" cannot have disk "{request.volume_id}": '
                f"disks are on {topology.listed(names)}"
            )

    def _ensure(
        self,
        request: csi_pb2.ControllerPublishVolumeRequest,
        attributes: Attributes,
        use: Capability,
    ) -> Disk:
        """Return the disk, made on the node that wants it if it does not exist."""
        name, node = request.volume_id, request.node_id
        try:
            disk = self._nodes.get(name)
        except NotFound:
            size = attributes.size
        else:
            if disk.node == node:
                return disk
            raise NotFound(f'node "{node}" cannot have disk "{name}": it is on node "{disk.node}"')
        if size is None:
            raise NotFound(f'disk "{name}" does not exist and no size specified for auto-creation')
        given = attributes.parameters
        wanted = Wanted(
            name=name,
            size=SizeRange(required=size),
            parameters=given,
            filesystem=filesystem_of(given, [use]),
            mounted=not use.block,
        )
        return self._creation.make(wanted, [node])

    def _lease(self, claim: Claim) -> None:
        with self._one_by_one:
            if self._max_volumes:
                self._require_room(claim)
            self._acquire(claim)

    def _acquire(self, claim: Claim) -> None:
        try:
            self._leases.acquire(claim)
        except (LeaseHeld, LeaseExpired):
            lease = self._leases.get(claim.disk)
            holder = lease.holder if lease and not lease.shared else ""
            if not holder or not self._holders.is_gone(holder, claim.disk, claim.node):
                raise
            log.info(
                'disk "%s" passes from %s, which is gone, to %s', claim.disk, holder, claim.holder
            )
            self._leases.acquire(replace(claim, heir_of=holder))

    def _require_room(self, claim: Claim) -> None:
        others = [
            lease
            for lease in self._leases.list()
            if lease.node == claim.node and lease.disk != claim.disk
        ]
        if len(others) >= self._max_volumes:
            raise PoolFull(
                f'disk "{claim.disk}" cannot be published: node "{claim.node}" has '
                f"{len(others)} disks, and may have {self._max_volumes} at once"
            )


def _claim(
    disk: Disk, attributes: Attributes, use: Capability, *, pod: str, read_only: bool
) -> Claim:
    # Many pods may share a disk in the other modes: it is the node that holds it for them.
    holder = pod if use.exclusive and pod else f"{NODE}{disk.node}"
    return Claim(
        disk=disk.name,
        holder=holder,
        node=disk.node,
        read_only=read_only,
        shared=not use.exclusive,
        timeout=attributes.lease_timeout or disk.lease_timeout,
    )


def _check_provider(volume_id: str, attributes: Attributes) -> None:
    actual = "local" if local_id.is_local(volume_id) else "miren"
    provider = attributes.wish.get(PROVIDER) or actual
    if provider not in {"miren", "local"}:
        raise InvalidRequest(f'{PROVIDER} "{provider}" is unknown; use miren or local')
    if provider != actual:
        raise InvalidRequest(
            f'{PROVIDER} "{provider}" does not go with the volume id "{volume_id}": '
            f"the ids of local disks, and no others, begin with {local_id.PREFIX}"
        )
