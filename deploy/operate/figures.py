"""What the node plugins tell of their pools and disks: their /metrics, read by way of the API."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from controller.pool_growth import Growth
from csi.errors import NotFound, Unavailable
from deploy import console
from deploy.operate.driver import Driver

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
    growth: Growth | None = None
    """None when the node has not seen enough of it yet, or is older and does not tell."""


@dataclass(frozen=True, slots=True)
class DiskFigures:
    """What a node tells of a disk in its pool."""

    node: str
    size: int
    """Bytes; its PersistentVolume may lag behind."""
    used: int
    """Bytes that the pool keeps for it."""
    problems: tuple[str, ...] = ()
    """What is wrong with it, if it is in use."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What all nodes together have told."""

    pools: tuple[PoolFigures, ...] = ()
    disks: Mapping[str, DiskFigures] = field(default_factory=dict)
    """By their names."""
    silent: tuple[str, ...] = ()
    """Why a node has told nothing."""


def read(driver: Driver) -> Figures:
    """Ask all node plugins; raises Unavailable when the API server does not answer."""
    pools: list[PoolFigures] = []
    disks: dict[str, DiskFigures] = {}
    silent: list[str] = []
    pods = driver.pods("node")
    if not pods:
        silent.append(f"no node plugin runs in namespace {driver.namespace}")
    for pod in pods:
        node = pod["spec"].get("nodeName", "")
        try:
            samples = [*_samples(driver.page(pod, "metrics"))]
            pools.append(_pool(node, samples))
        except (Unavailable, NotFound, ValueError) as error:
            silent.append(f"node {node}: {error}")
        else:
            disks |= _disks(node, samples)
    return Figures(tuple(pools), disks, tuple(silent))


def read_warning(driver: Driver) -> Figures:
    """Do as `read`, and warn of nodes that are silent."""
    found = read(driver)
    warn(found.silent)
    return found


def warn(silent: Iterable[str]) -> None:
    """Say on standard error why nodes have told nothing."""
    for reason in silent:
        console.say(f"warning: what only a node knows is missing: {reason}")


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
        growth=_growth(of),
    )


def _growth(of: Mapping[str, float]) -> Growth | None:
    seconds = of.get("pool_growth_seconds")
    if not seconds:
        return None
    used = int(of.get("pool_growth_bytes", 0))
    return Growth(seconds, used, of.get("pool_growth_metadata_ratio", 0.0))


def _disks(node: str, samples: Iterable[_Sample]) -> dict[str, DiskFigures]:
    sizes: dict[str, int] = {}
    used: dict[str, int] = {}
    problems: dict[str, tuple[str, ...]] = {}
    for name, labels, value in samples:
        match name:
            case "disk_size_bytes":
                sizes[labels["disk"]] = int(value)
            case "disk_used_bytes":
                used[labels["disk"]] = int(value)
            case "disk_problem":
                problems[labels["disk"]] = (*problems.get(labels["disk"], ()), labels["reason"])
    return {
        disk: DiskFigures(node, size, used.get(disk, 0), problems.get(disk, ()))
        for disk, size in sizes.items()
    }
