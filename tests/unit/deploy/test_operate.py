"""What `kubectl miren disk` and `pool` make of sizes, times and figures."""

import argparse
import builtins
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.pool_growth import Growth
from csi.kubernetes_api import KubernetesApi
from deploy.main import parser
from deploy.operate import figures, forecast, pools
from deploy.operate.arguments import size
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.driver import Driver
from deploy.operate.figures import DiskFigures, PoolFigures
from deploy.operate.pools import status_of
from deploy.operate.running import Verdict
from deploy.operate.tables import age, table

GIB = 1 << 30
POOL = PoolFigures("node-1", 100 * GIB, 10 * GIB, 0.1, 20 * GIB, 200 * GIB, 2, 0)


@pytest.mark.parametrize(
    ("text", "count"), [("10", 10 * GIB), ("20Gi", 20 * GIB), ("512Mi", GIB // 2), ("1G", 10**9)]
)
def test_a_number_alone_counts_gib(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5.2", "ten", "9999999999"])
def test_what_is_no_size_is_told_so(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="size"):
        size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (172800, "2d"),
    ],
)
def test_ages_are_as_kubectl_writes_them(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert age(now - timedelta(seconds=seconds), now) == text


@pytest.mark.parametrize(
    ("used", "metadata", "status"),
    [
        (79, 0.79, "ok"),
        (80, 0.1, "filling"),
        (10, 0.8, "filling"),
        (89, 0.89, "filling"),
        (90, 0.1, "almost-full"),
        (10, 0.9, "almost-full"),
    ],
)
def test_a_pool_fills_with_data_or_metadata(used: int, metadata: float, status: str) -> None:
    pool = replace(POOL, used=used * GIB, metadata_used=metadata)

    assert status_of(pool) == status


METRICS = """
miren_csi_pool_up{node="node-1"} 1
miren_csi_pool_size_bytes{node="node-1"} 1000
miren_csi_pool_used_bytes{node="node-1"} 100
miren_csi_pool_metadata_used_ratio{node="node-1"} 0.1
miren_csi_pool_promised_bytes{node="node-1"} 500
miren_csi_pool_promise_limit_bytes{node="node-1"} 2000
miren_csi_pool_disks{node="node-1"} 1
miren_csi_pool_snapshots{node="node-1"} 0
miren_csi_disk_size_bytes{node="node-1",disk="a \\"b\\""} 500
miren_csi_disk_used_bytes{node="node-1",disk="a \\"b\\""} 50
"""


class Nodes(KubernetesApi):
    """A cluster, of which only node plugins and their pages are asked.

    A fake: no real node plugin says such things.
    """

    def __init__(self, pages: Sequence[str]) -> None:
        self._pages = dict(enumerate(pages))

    def list(
        self,
        path: str,  # noqa: ARG002
        query: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> builtins.list[dict[str, Any]]:
        return [
            {"metadata": {"name": str(number)}, "spec": {"nodeName": f"node-{number}"}}
            for number in self._pages
        ]

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:  # noqa: ARG002
        return self._pages[int(path.split("/")[-3].partition(":")[0])]


def test_figures_are_what_the_nodes_tell() -> None:
    found = figures.read(Driver(Nodes([METRICS]), "here"))

    assert found.silent == ()
    assert found.disks == {'a "b"': DiskFigures("node-0", 500, 50)}
    assert found.pools[0].promise_limit == 2000


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (METRICS.replace('_up{node="node-1"} 1', '_up{node="node-1"} 0'), "does not answer"),
        ("", "does not answer"),
        (METRICS.replace("disk_size", "disk_length"), "another version"),
        (METRICS.replace("pool_promised", "pool_sworn"), "another version"),
        ("<html>no metrics at all</html>", "node-0: "),
    ],
)
def test_a_node_that_tells_something_else_is_silent_and_hides_no_other(page: str, why: str) -> None:
    found = figures.read(Driver(Nodes([page, METRICS]), "here"))

    (silent,) = found.silent
    assert why in silent
    assert [pool.node for pool in found.pools] == ["node-1"]


GROWN = (
    METRICS
    + """
miren_csi_pool_growth_seconds{node="node-1"} 7200
miren_csi_pool_growth_bytes{node="node-1"} 25
miren_csi_pool_growth_metadata_ratio{node="node-1"} 0
"""
)


def test_growth_is_told_when_a_node_has_seen_enough() -> None:
    (pool,) = figures.read(Driver(Nodes([GROWN]), "here")).pools

    assert pool.growth == Growth(7200, 25, 0)
    assert figures.read(Driver(Nodes([METRICS]), "here")).pools[0].growth is None


@pytest.mark.parametrize(
    ("growth", "said", "seconds"),
    [
        (None, "not known yet", None),
        (Growth(3600, 0, 0.0), "not growing", None),
        (Growth(3600, -GIB, -0.1), "not growing", None),
        (Growth(86400, 10 * GIB, 0.0), "9d", 9 * 86400),  # 90 GiB are left
        (Growth(86400, 10 * GIB, 0.3), "3d", 3 * 86400),  # metadata goes first
        (Growth(86400, 1, 0.0), "over a year", 90 * GIB * 86400),
    ],
)
def test_a_pool_is_full_when_it_goes_on_so(
    growth: Growth | None, said: str, seconds: float | None
) -> None:
    expected = forecast.of_pool(replace(POOL, growth=growth))

    assert str(expected) == said
    assert expected.seconds == pytest.approx(seconds)
    assert not expected.is_soon


@pytest.mark.parametrize(
    ("used", "hours", "is_soon"), [(60, 23, True), (60, 25, False), (40, 23, False)]
)
def test_a_pool_that_is_more_than_half_full_and_has_less_than_a_day_is_warned_of(
    used: int, hours: int, is_soon: bool
) -> None:
    growth = Growth(hours * 3600, (100 - used) * GIB, 0.0)
    pool = replace(POOL, used=used * GIB, growth=growth)

    assert forecast.of_pool(pool).is_soon == is_soon
    assert [*pools.warnings([pool])] == (
        [f"the pool of node node-1 will be full in {hours}h, as it grows: {pools.TODO}"]
        if is_soon
        else []
    )


def page(used: int, growth: int = 0) -> str:
    told = METRICS.replace('used_bytes{node="node-1"} 100', f'used_bytes{{node="node-1"}} {used}')
    return told + GROWN[len(METRICS) :].replace(" 25", f" {growth}")


@pytest.mark.parametrize(
    ("pages", "status"),
    [
        ([page(100)], 0),
        ([page(100), page(850)], 3),
        ([page(600, growth=300)], 3),
        ([page(850), page(900)], 4),
        ([page(100), ""], 1),
        ([page(850), ""], 3),
    ],
)
def test_scripts_get_a_verdict_of_all_pools_when_they_ask_for_it(
    pages: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = DiskCluster(Nodes(pages), "here")
    arguments = parser().parse_args(["pool", "--check", "-o", "name"])

    judged = pools.pools(cluster, arguments)
    plain = pools.pools(cluster, parser().parse_args(["pool", "-o", "name"]))

    assert judged == Verdict(str(plain), status)
    assert ("warning: " in capsys.readouterr().err) == (status != 0)


def test_a_pool_that_will_refuse_disks_is_told_of_and_is_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = METRICS.replace(
        'promised_bytes{node="node-1"} 500', 'promised_bytes{node="node-1"} 1800'
    )
    cluster = DiskCluster(Nodes([told]), "here")

    judged = pools.pools(cluster, parser().parse_args(["pool", "--check", "-o", "name"]))

    assert judged == Verdict("node-0\n", 0)
    said = capsys.readouterr().err
    assert said.startswith("warning: the pool of node node-0 has promised 90% of what it may")


def test_a_pool_shows_its_forecast() -> None:
    cluster = DiskCluster(Nodes([page(600, growth=10)]), "here")

    def shown(*words: str) -> list[list[str]]:
        text = pools.pools(cluster, parser().parse_args(["pool", *words]))
        return [re.split(" {2,}", line) for line in str(text).splitlines()]

    head, row = shown()
    assert dict(zip(head, row, strict=True))["FULL-IN"] == "3d"
    assert row[-1] == "ok"
    head, row = shown("-o", "wide")
    wide = dict(zip(head, row, strict=True))
    assert (wide["GROWTH/DAY"], wide["SEEN-FOR"], wide["PROMISED/LIMIT"]) == ("120", "2h", "25%")


def test_a_pool_without_room_is_full() -> None:
    assert status_of(replace(POOL, size=0, used=0)) == "almost-full"


def test_what_is_empty_in_a_table_is_a_dash() -> None:
    assert table(("NAME", "AGE"), [("a-long-one", ""), ("b", "3m")]) == (
        "NAME         AGE\na-long-one   -\nb            3m\n"
    )


def _commands(at: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    inner = [
        one
        for action in at._actions
        if isinstance(action.choices, dict)
        for one in action.choices.values()
    ]
    if not inner:
        yield at
    for one in inner:
        yield from _commands(one)


def test_every_command_has_what_does_it() -> None:
    mine = re.compile("kubectl-miren (disk|pool)\\b")
    commands = [one for one in _commands(parser()) if mine.match(one.prog)]

    assert len(commands) > 15
    for command in commands:
        action = command.get_default("action")
        assert callable(pkgutil.resolve_name(f"deploy.operate.{action}")), command.prog
