"""One set of limits for pools: what is written down outside of the code is the same."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from csi import fullness
from csi.fullness import ALMOST_FULL, FILLING, FULL_SOON, NOT_SOON, PROMISED
from tests.monitoring import files

DATA = "miren_csi_pool_used_bytes / miren_csi_pool_size_bytes"
PROMISES = "miren_csi_pool_promised_bytes / miren_csi_pool_promise_limit_bytes"
METADATA = "miren_csi_pool_metadata_used_ratio"
EXPRESSIONS = {rule["alert"]: rule["expr"].strip() for rule in files.alerts()}


@pytest.mark.parametrize(
    ("alert", "share", "limit"),
    [
        ("MirenPoolFilling", DATA, FILLING),
        ("MirenPoolAlmostFull", DATA, ALMOST_FULL),
        ("MirenPoolMetadataFilling", METADATA, FILLING),
        ("MirenPoolMetadataAlmostFull", METADATA, ALMOST_FULL),
        ("MirenPoolPromisesNearLimit", PROMISES, PROMISED),
    ],
)
def test_alerts_have_the_same_limits(alert: str, share: str, limit: float) -> None:
    assert EXPRESSIONS[alert] == f"{share} >= {limit}"


def test_the_alert_of_filesystems_has_the_same_limit() -> None:
    told = EXPRESSIONS["MirenDiskFilesystemAlmostFull"]

    assert f"capacity_bytes >= {fullness.FILESYSTEM_ALMOST_FULL}" in told


def test_the_alert_looks_as_far_ahead() -> None:
    told = EXPRESSIONS["MirenPoolFullWithinADay"]

    assert f"{FULL_SOON:.0f}) > miren_csi_pool_size_bytes" in told
    assert f"{DATA} > {NOT_SOON}" in told


def gauges() -> Iterator[dict[str, Any]]:
    """The dashboard's panels that show a share of a pool in colours."""
    for panel in json.loads(files.DASHBOARD.read_text())["panels"]:
        if panel["type"] == "gauge" and "promised" not in panel["targets"][0]["expr"]:
            yield panel


def test_the_dashboard_changes_its_colours_there() -> None:
    panels = [*gauges()]

    assert len(panels) == 2
    for panel in panels:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["value"] for step in steps] == [None, FILLING, ALMOST_FULL], panel["title"]


def test_the_documentation_says_them_once() -> None:
    sentences = re.findall(
        r"`filling` from (\d+) % .*`almost-full` from (\d+) %",
        "".join(path.read_text() for path in (files.ROOT / "docs").glob("*.md")),
    )

    assert [[int(share) / 100 for share in one] for one in sentences] == [[FILLING, ALMOST_FULL]]


@pytest.mark.parametrize(
    ("data", "metadata", "said"),
    [(0.79, 0.79, "ok"), (0.8, 0, "filling"), (0, 0.8, "filling"), (0.1, 0.9, "almost-full")],
)
def test_what_is_fuller_counts(data: float, metadata: float, said: str) -> None:
    assert fullness.of(data, metadata) == said
