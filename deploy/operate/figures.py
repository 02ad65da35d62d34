"""What the node plugins tell of their pools and disks: their /metrics, read by way of the API."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from csi.errors import NotFound, Unavailable
from deploy.operate.driver import Driver

_PORT = 9808
_PREFIX = "miren_csi_"
_OF_POOLS = {
    "pool_size_bytes",
    "pool_used_bytes",
    "pool_metadata_used_ratio",
    "pool_promised_bytes",
    "pool_promise_limit_bytes",
    "pool_disks",
    "pool_snapshots",
}


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """How full a node's pool is; sizes in bytes."""

    node: str
    size: int
    used: int
    metadata_used: float
    """The used share of its metadata space, 0 to 1."""
    promised: int
    promise_limit: int
    disks: int
    snapshots: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What all nodes together have told."""

    pools: tuple[PoolFigures, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes that each disk has: its PersistentVolume may lag behind."""
    used: Mapping[str, int] = field(default_factory=dict)
    """Bytes that the pool keeps for each disk."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Where each disk is."""
    problems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What is wrong with a disk that is in use."""
    silent: tuple[str, ...] = ()
    """Why a node has told nothing."""


def read(driver: Driver) -> Figures:
    """Ask all node plugins; raises Unavailable when the API server does not answer."""
    pools: list[PoolFigures] = []
    sizes: dict[str, int] = {}
    used: dict[str, int] = {}
    nodes: dict[str, str] = {}
    problems: dict[str, tuple[str, ...]] = {}
    silent: list[str] = []
    pods = driver.pods("node")
    if not pods:
        silent.append(f"no node plugin runs in namespace {driver.namespace}")
    for pod in pods:
        node = pod["spec"].get("nodeName", "")
        path = f"/api/v1/namespaces/{driver.namespace}/pods/{pod['metadata']['name']}"
        try:
            samples = [*_samples(driver.api.text(f"{path}:{_PORT}/proxy/metrics"))]
            pools.append(_pool(node, samples))
        except (Unavailable, NotFound, ValueError) as error:
            silent.append(f"node {node}: {error}")
            continue
        for name, labels, value in samples:
            if name == "disk_size_bytes":
                sizes[labels["disk"]] = int(value)
            elif name == "disk_used_bytes":
                used[labels["disk"]] = int(value)
                nodes[labels["disk"]] = node
            elif name == "disk_problem":
                disk = labels["disk"]
                problems[disk] = (*problems.get(disk, ()), labels["reason"])
    return Figures(tuple(pools), sizes, used, nodes, problems, tuple(silent))


_Sample = tuple[str, Mapping[str, str], float]


def _samples(text: str) -> Iterator[_Sample]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(_PREFIX):
                yield sample.name.removeprefix(_PREFIX), sample.labels, sample.value


def _pool(node: str, samples: list[_Sample]) -> PoolFigures:
    """Return what is told of a pool; raises ValueError when that is not all."""
    of = {name: value for name, _, value in samples if name.startswith("pool_")}
    if not of.get("pool_up"):
        raise ValueError("its pool does not answer")
    told = sum(name == "disk_size_bytes" for name, _, _ in samples)
    if not of.keys() >= _OF_POOLS or told != of["pool_disks"]:
        raise ValueError("its driver is of another version, and tells other things")
    return PoolFigures(
        node=node,
        size=int(of["pool_size_bytes"]),
        used=int(of["pool_used_bytes"]),
        metadata_used=of["pool_metadata_used_ratio"],
        promised=int(of["pool_promised_bytes"]),
        promise_limit=int(of["pool_promise_limit_bytes"]),
        disks=int(of["pool_disks"]),
        snapshots=int(of["pool_snapshots"]),
    )
