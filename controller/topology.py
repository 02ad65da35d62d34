"""Where disks can be used: on the nodes that have pools (CSI spec, TopologyRequirement)."""

from collections.abc import Iterable, Sequence

from csi import TOPOLOGY_KEY
from csi.errors import PoolFull
from csi.stubs import csi_pb2


def topology(node: str) -> csi_pb2.Topology:
    """Return a node, as NodeGetInfo names it, in the words of CSI."""
    return csi_pb2.Topology(segments={TOPOLOGY_KEY: node})


def is_within(node: str, wanted: csi_pb2.Topology) -> bool:
    """Whether all that a topology says is true of a node; keys are case-insensitive."""
    return all(
        key.lower() == TOPOLOGY_KEY and value == node for key, value in wanted.segments.items()
    )


def allowed(nodes: Sequence[str], requirement: csi_pb2.TopologyRequirement, what: str) -> list[str]:
    """Return the nodes where a disk or snapshot may be, those that are preferred first.

    Raises PoolFull when it must be usable elsewhere only. That is the spec's code for it: "Unable
    to provision in accessible_topology". What is only preferred need not be met.
    """
    fit = _within(nodes, requirement.requisite) if requirement.requisite else list(nodes)
    if not fit:
        raise PoolFull(
            f"{what} can only be on {listed(nodes)}, where the pools are, "
            "and no requisite topology has it"
        )
    preferred = _within(fit, requirement.preferred)
    return [*preferred, *(node for node in fit if node not in preferred)]


def _within(nodes: Sequence[str], topologies: Iterable[csi_pb2.Topology]) -> list[str]:
    found = [node for wanted in topologies for node in nodes if is_within(node, wanted)]
    return list(dict.fromkeys(found))


def listed(nodes: Sequence[str]) -> str:
    """Return nodes as part of a sentence."""
    return " or ".join(f'node "{node}"' for node in nodes) or "a node that is not there"
