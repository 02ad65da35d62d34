"""Where disks can be used: on the one node that has the pool (CSI spec, TopologyRequirement)."""

from csi import TOPOLOGY_KEY
from csi.errors import PoolFull
from csi.stubs import csi_pb2


class Place:
    """The node of the pool, in the words of CSI."""

    def __init__(self, node_id: str) -> None:
        """Args: node_id: as NodeGetInfo reports it."""
        self.node_id = node_id
        self.topology = csi_pb2.Topology(segments={TOPOLOGY_KEY: node_id})

    def is_within(self, topology: csi_pb2.Topology) -> bool:
        """Whether all that a topology says is true of this node; keys are case-insensitive."""
        return all(
            key.lower() == TOPOLOGY_KEY and value == self.node_id
            for key, value in topology.segments.items()
        )

    def require(self, requirement: csi_pb2.TopologyRequirement, what: str) -> None:
        """Raise PoolFull when a disk or snapshot must be usable elsewhere, and not here.

        That is the spec's code for it: "Unable to provision in accessible_topology". What is only
        preferred need not be met.
        """
        requisite = requirement.requisite
        if requisite and not any(map(self.is_within, requisite)):
            raise PoolFull(
                f'{what} can only be on node "{self.node_id}", where the pool is, '
                "and no requisite topology has it"
            )
