"""What `kubectl miren disk` and `pool` make of sizes, times and figures."""

import argparse
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deploy.operate.arguments import size
from deploy.operate.figures import PoolFigures
from deploy.operate.showing import pool_status
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
        (95, 0.1, "full"),
        (10, 0.95, "full"),
    ],
)
def test_a_pool_fills_with_data_or_metadata(used: int, metadata: float, status: str) -> None:
    pool = replace(POOL, used=used * GIB, metadata_used=metadata)

    assert pool_status(pool) == status


def test_what_is_empty_in_a_table_is_a_dash() -> None:
    assert table(("NAME", "AGE"), [("a-long-one", ""), ("b", "3m")]) == (
        "NAME         AGE\na-long-one   -\nb            3m\n"
    )
