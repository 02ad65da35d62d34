"""The pool of another node, reached through its node plugin (`controller.pool_server`)."""

import builtins
from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from controller import pool_wire
from controller.pool_wire import SERVICE
from csi.disk import Disk, Extent, NewSnapshot, PoolUsage, Snapshot
from csi.errors import Unavailable
from csi.key_pair import NAME, KeyPair

TIMEOUT = 140.0
"""Seconds for a call: more than LVM gets for a command."""

_OPTIONS = (
    ("grpc.ssl_target_name_override", NAME),
    ("grpc.max_receive_message_length", pool_wire.LONGEST),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Other nodes' channels of the same address belong to pods that are gone.
    ("grpc.use_local_subchannel_pool", 1),
)


class RemotePool:
    """A pool whose verbs are carried out elsewhere."""

    def __init__(self, node: str, address: str, keys: KeyPair) -> None:
        """Reach a pool, or not: without an address nobody is there to answer.

        Args:
            node: for messages.
            address: `HOST:PORT`, or empty.
            keys: what both sides have.
        """
        self._node = node
        self.address = address
        credentials = grpc.ssl_channel_credentials(keys.certificate, keys.key, keys.certificate)
        self._channel = grpc.secure_channel(address or "nobody:0", credentials, options=_OPTIONS)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def check(self) -> None:
        """Raise Unavailable when the node or its pool cannot serve calls now."""
        self._call("check")

    def create(self, disk: Disk) -> Disk:
        """See `Pool.create`."""
        made: Disk = self._call("create", disk)
        return made

    def get(self, name: str) -> Disk:
        """See `Pool.get`."""
        found: Disk = self._call("get", name)
        return found

    def disks(self) -> builtins.list[Disk]:
        """See `Pool.disks`."""
        found: builtins.list[Disk] = self._call("disks")
        return found

    def delete(self, name: str) -> None:
        """See `Pool.delete`."""
        self._call("delete", name)

    def expand(self, name: str, size: int) -> Disk:
        """See `Pool.expand`."""
        grown: Disk = self._call("expand", name, size)
        return grown

    def set_read_ahead(self, name: str, kib: int) -> None:
        """See `Pool.set_read_ahead`."""
        self._call("set_read_ahead", name, kib)

    def has_lost_filesystem(self, name: str) -> bool:
        """See `Pool.has_lost_filesystem`."""
        lost: bool = self._call("has_lost_filesystem", name)
        return lost

    def usage(self) -> PoolUsage:
        """See `Pool.usage`."""
        found: PoolUsage = self._call("usage")
        return found

    def create_snapshots(self, wanted: Sequence[NewSnapshot]) -> builtins.list[Snapshot]:
        """See `Pool.create_snapshots`."""
        made: builtins.list[Snapshot] = self._call("create_snapshots", list(wanted))
        return made

    def get_snapshot(self, name: str) -> Snapshot:
        """See `Pool.get_snapshot`."""
        found: Snapshot = self._call("get_snapshot", name)
        return found

    def snapshots(self) -> builtins.list[Snapshot]:
        """See `Pool.snapshots`."""
        found: builtins.list[Snapshot] = self._call("snapshots")
        return found

    def delete_snapshots(self, snapshots: Sequence[str]) -> None:
        """See `Pool.delete_snapshots`."""
        self._call("delete_snapshots", list(snapshots))

    def allocated(self, snapshot: Snapshot) -> Iterator[Extent]:
        """See `Pool.allocated`."""
        return self._stream("allocated", snapshot)

    def changed(self, base: Snapshot, target: Snapshot) -> Iterator[Extent]:
        """See `Pool.changed`."""
        return self._stream("changed", base, target)

    def _call(self, verb: str, *arguments: object) -> Any:
        self._require_address()
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/{SERVICE}/{verb}"
        )
        try:
            data: bytes = call(pool_wire.encode(arguments), timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise self._silent(error) from error
        return pool_wire.result(verb, data)

    def _stream(self, verb: str, *arguments: object) -> Iterator[Extent]:
        self._require_address()
        call: grpc.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(
            f"/{SERVICE}/{verb}"
        )
        try:
            for data in call(pool_wire.encode(arguments)):
                yield from pool_wire.result(verb, data)
        except grpc.RpcError as error:
            raise self._silent(error) from error

    def _require_address(self) -> None:
        if not self.address:
            raise Unavailable(f'the node plugin of node "{self._node}" does not run')

    def _silent(self, error: Any) -> Unavailable:
        return Unavailable(f'the pool of node "{self._node}" does not answer: {error.details()}')
