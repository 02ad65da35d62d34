"""The pools of all nodes as one: a disk is found wherever it is, and made where it is wanted.

Names are unique in the whole cluster. What is asked of one disk needs only its own node; a list
needs all of them, for one that lacks a node's disks would say that they are gone.
"""

import builtins
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from controller.pool import Pool
from csi.disk import Disk, Extent, NewSnapshot, PoolUsage, Snapshot
from csi.errors import (
    Incompatible,
    NotFound,
    Refused,
    Unavailable,
    disk_not_found,
    snapshot_not_found,
)

log = logging.getLogger(__name__)

One = TypeVar("One", Disk, Snapshot)
Pools = Callable[[], Mapping[str, Pool]]


class Nodes:
    """The pools of one or more nodes; what they give says on which node it is."""

    def __init__(self, pools: Pools, coordinator: Callable[[], str]) -> None:
        """Prepare.

        Args:
            pools: returns the nodes that have pools; raises Unavailable.
            coordinator: returns the one that has the disks of apps, empty when several say so.
        """
        self._pools = pools
        self.coordinator = coordinator
        self._seen: dict[tuple[type, str], str] = {}

    @classmethod
    def single(cls, node: str, pool: Pool) -> "Nodes":
        """Return the pool of the one node that has any."""
        return cls(lambda: {node: pool}, lambda: node)

    def names(self) -> builtins.list[str]:
        """Return the nodes that have pools, sorted."""
        return sorted(self._pools())

    def on(self, node: str) -> Pool:
        """Return a node's pool; raises NotFound when it has none."""
        pool = self._pools().get(node)
        if pool is None:
            raise NotFound(f'node "{node}" has no pool; those that have: {", ".join(self.names())}')
        return pool

    def check(self) -> None:
        """Raise Unavailable when no pool can serve calls now."""
        problems = []
        for node, pool in sorted(self._pools().items()):
            try:
                pool.check()
            except Unavailable as error:
                problems.append(f"{node}: {error}")
            else:
                return
        raise Unavailable("; ".join(problems) or "no node has a pool")

    def granularity(self) -> int:
        """Return what the pools round sizes up to: the coarsest one's; raises Unavailable."""
        known, problems = [], []
        for pool in self._pools().values():
            try:
                known.append(pool.usage().granularity)
            except Unavailable as error:
                problems.append(str(error))
        if not known:
            raise Unavailable("; ".join(problems) or "no node has a pool")
        return max(known)

    # disks

    def create(self, disk: Disk) -> Disk:
        """Make a disk on its `node`, as `Pool.create`; or return the one that exists, anywhere.

        A node that does not answer is taken to have none: else one would keep all from working.
        """
        with contextlib.suppress(NotFound):
            if len(self._pools()) > 1:
                return self._find(Disk, disk.name, skip_silent=True)
        if disk.source is not None:
            origin = self.origin_node(disk)
            if origin != disk.node:
                raise Refused(
                    f'disk "{disk.name}" cannot be on node "{disk.node}": it is a copy, and what '
                    f'it is a copy of is on node "{origin}"'
                )
        made = self.on(disk.node).create(replace(disk, node=""))
        return self._of(disk.node, made)

    def origin_node(self, disk: Disk) -> str:
        """Return the node that has the source of a copy; raises NotFound."""
        if disk.source is None:
            raise ValueError("an empty disk has no origin")
        if disk.source.kind == "snapshot":
            return self.get_snapshot(disk.source.name).node
        return self.get(disk.source.name).node

    def get(self, name: str) -> Disk:
        """Return the disk, or raise NotFound."""
        return self._find(Disk, name)

    def disks(self) -> builtins.list[Disk]:
        """Return all disks of all nodes, sorted by name; raises Unavailable if one is silent."""
        return self._all(Disk, lambda pool: pool.disks())

    def reachable_disks(self) -> tuple[builtins.list[Disk], bool]:
        """Return the disks of the nodes that answer, and whether these are all nodes."""
        found, everywhere = [], True
        for node, pool in sorted(self._pools().items()):
            try:
                found += [self._of(node, disk) for disk in pool.disks()]
            except Unavailable as error:
                log.warning("the disks of node %s are not known now: %s", node, error)
                everywhere = False
        return sorted(found, key=lambda disk: disk.name), everywhere

    def delete(self, name: str) -> None:
        """Delete a disk as `Pool.delete`."""
        self._pool_of(Disk, name).delete(name)

    def expand(self, name: str, size: int) -> Disk:
        """Grow a disk as `Pool.expand`."""
        disk = self._find(Disk, name)
        return self._of(disk.node, self.on(disk.node).expand(name, size))

    def set_read_ahead(self, name: str, kib: int) -> None:
        """Set the read-ahead of a disk as `Pool.set_read_ahead`."""
        self._pool_of(Disk, name).set_read_ahead(name, kib)

    # snapshots

    def create_snapshots(self, wanted: Sequence[NewSnapshot]) -> builtins.list[Snapshot]:
        """Cut snapshots as `Pool.create_snapshots`; all of their disks must be on one node."""
        nodes = {self._node_of(one): one.disk for one in wanted}
        if len(nodes) > 1:
            where = ", ".join(f'"{disk}" on {node}' for node, disk in sorted(nodes.items()))
            raise Refused(f"disks on different nodes have no common moment: {where}")
        (node,) = nodes
        return [self._of(node, one) for one in self.on(node).create_snapshots(wanted)]

    def _node_of(self, wanted: NewSnapshot) -> str:
        try:
            return self.get(wanted.disk).node
        except NotFound:
            # It may have been cut before its disk was deleted.
            with contextlib.suppress(NotFound):
                return self.get_snapshot(wanted.name).node
            raise

    def get_snapshot(self, name: str) -> Snapshot:
        """Return the snapshot, or raise NotFound."""
        return self._find(Snapshot, name)

    def snapshots(self) -> builtins.list[Snapshot]:
        """Return all snapshots of all nodes, sorted by name; raises Unavailable."""
        return self._all(Snapshot, lambda pool: pool.snapshots())

    def delete_snapshots(self, snapshots: Sequence[str]) -> None:
        """Delete those snapshots that exist."""
        by_node: dict[str, builtins.list[str]] = {}
        for name in snapshots:
            with contextlib.suppress(NotFound):
                by_node.setdefault(self.get_snapshot(name).node, []).append(name)
        for node, names in by_node.items():
            self.on(node).delete_snapshots(names)

    def allocated(self, snapshot: Snapshot) -> Iterator[Extent]:
        """Yield the written extents of a snapshot."""
        return self.on(snapshot.node).allocated(replace(snapshot, node=""))

    def changed(self, base: Snapshot, target: Snapshot) -> Iterator[Extent]:
        """Yield the extents that differ between two snapshots of one disk."""
        pool = self.on(target.node)
        return pool.changed(replace(base, node=""), replace(target, node=""))

    def usage(self, node: str) -> PoolUsage:
        """Return how full a node's pool is."""
        return self.on(node).usage()

    # where things are

    def _pool_of(self, kind: type[One], name: str) -> Pool:
        return self.on(self._find(kind, name).node)

    def _find(self, kind: type[One], name: str, *, skip_silent: bool = False) -> One:
        """Return what has a name; where it was seen before is looked at first."""
        pools = self._pools()
        seen = self._seen.get((kind, name), "")
        if seen in pools:
            with contextlib.suppress(NotFound):
                return self._of(seen, _get(kind, pools[seen], name))
        found, silent = [], []
        for node, pool in pools.items():
            try:
                found.append(self._of(node, _get(kind, pool, name)))
            except NotFound:
                continue
            except Unavailable as error:
                silent.append(error)
        if len(found) > 1:
            where = " and ".join(sorted(one.node for one in found))
            raise Incompatible(f'"{name}" is on {where}: one of them has to be removed by hand')
        if found:
            return found[0]
        if silent and not skip_silent:
            raise silent[0]
        raise disk_not_found(name) if kind is Disk else snapshot_not_found(name)

    def _all(self, kind: type[One], read: Callable[[Pool], Sequence[One]]) -> builtins.list[One]:
        found = [self._of(node, one) for node, pool in self._pools().items() for one in read(pool)]
        self._seen = {
            **{key: node for key, node in self._seen.items() if key[0] is not kind},
            **{(kind, one.name): one.node for one in found},
        }
        return sorted(found, key=lambda one: one.name)

    def _of(self, node: str, one: One) -> One:
        self._seen[type(one), one.name] = node
        return replace(one, node=node)


def _get(kind: type[One], pool: Pool, name: str) -> One:
    found: Disk | Snapshot = pool.get(name) if kind is Disk else pool.get_snapshot(name)
    if not isinstance(found, kind):
        raise TypeError(f"{found!r} is no {kind.__name__}")
    return found
