"""Each alert fires when it should, not before, and not otherwise: promtool evaluates them."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring import files

Series = Mapping[str, str]
"""Values every minute, in promtool's notation."""

N = '{node="a"}'
POOL = {f"miren_csi_pool_size_bytes{N}": "1000x600"}
CALLS = "miren_csi_call_duration_seconds_count"
LVM = "miren_csi_lvm_command_duration_seconds_bucket"
CLAIM = '{namespace="n",persistentvolumeclaim="c"}'
OURS = {
    f"kubelet_volume_stats_capacity_bytes{CLAIM}": "1000x600",
    'kube_persistentvolumeclaim_info{namespace="n",persistentvolumeclaim="c",volumename="v"}': (
        "1x600"
    ),
}
VOLUME = "kube_persistentvolume_info"
BY_US = {f'{VOLUME}{{persistentvolume="v",csi_driver="disk.csi.miren.dev"}}': "1x600"}


@dataclass(frozen=True, slots=True)
class Case:
    """What an alert is for, and the nearest to it that it is not for."""

    fires: Series
    quiet: Series


def pool(**figures: str) -> Series:
    return POOL | {f"miren_csi_pool_{name}{N}": values for name, values in figures.items()}


def lvm(fast: str, slow: str) -> Series:
    """So many commands more every minute below 5 s, and in all."""
    labels = 'instance="i",command="lvcreate"'
    return {
        f'{LVM}{{{labels},le="1"}}': fast,
        f'{LVM}{{{labels},le="10"}}': slow,
        f'{LVM}{{{labels},le="+Inf"}}': slow,
    }


def calls(failed: str, code: str = "UNAVAILABLE") -> Series:
    return {
        f'{CALLS}{{method="CreateVolume",code="{code}"}}': failed,
        f'{CALLS}{{method="CreateVolume",code="OK"}}': "0+80x600",
    }


CASES = {
    "MirenPoolFilling": Case(pool(used_bytes="800x600"), pool(used_bytes="799x600")),
    "MirenPoolAlmostFull": Case(pool(used_bytes="900x600"), pool(used_bytes="899x600")),
    "MirenPoolMetadataFilling": Case(
        pool(metadata_used_ratio="0.8x600"), pool(metadata_used_ratio="0.79x600")
    ),
    "MirenPoolMetadataAlmostFull": Case(
        pool(metadata_used_ratio="0.9x600"), pool(metadata_used_ratio="0.89x600")
    ),
    # 0.3 a minute are 432 a day.
    "MirenPoolFullWithinADay": Case(
        pool(used_bytes="600+0.3x600"), pool(used_bytes="600+0.02x600")
    ),
    "MirenPoolPromisesNearLimit": Case(
        pool(promised_bytes="1800x600", promise_limit_bytes="2000x600"),
        pool(promised_bytes="1799x600", promise_limit_bytes="2000x600"),
    ),
    "MirenPoolDown": Case(pool(up="0x600"), pool(up="1x600")),
    "MirenDiskFilesystemAlmostFull": Case(
        {**OURS, **BY_US, f"kubelet_volume_stats_available_bytes{CLAIM}": "40x600"},
        {  # as full, but somebody else's
            **OURS,
            f'{VOLUME}{{persistentvolume="v",csi_driver="other"}}': "1x600",
            f"kubelet_volume_stats_available_bytes{CLAIM}": "40x600",
        },
    ),
    "MirenDiskUnhealthy": Case(
        {
            'miren_csi_disk_problem{node="a",disk="d",kind="DEGRADED",reason="FilesystemErrors"}': (
                "1x600"
            )
        },
        {'miren_csi_disk_size_bytes{node="a",disk="d"}': "1x600"},
    ),
    "MirenDiskWaitedFor": Case(
        {'miren_csi_lease_wait_seconds{disk="d"}': "301x600"},
        {'miren_csi_lease_wait_seconds{disk="d"}': "300x600"},
    ),
    "MirenLeasesUnreadable": Case(
        {"miren_csi_leases_up": "0x600"}, {"miren_csi_leases_up": "1x600"}
    ),
    "MirenCsiDown": Case(
        {'up{job="miren-system/miren-csi",instance="i"}': "0x600"},
        {'up{job="other",instance="i"}': "0x600"},
    ),
    "MirenCsiAbsent": Case(
        {"miren_csi_leases_up": "1x600"},
        {"miren_csi_leases_up": "1x600", f"miren_csi_pool_up{N}": "1x600"},
    ),
    "MirenCsiNoLeader": Case(
        {'miren_csi_leader{pod="a"}': "0x600", 'miren_csi_leader{pod="b"}': "0x600"},
        {'miren_csi_leader{pod="a"}': "0x600", 'miren_csi_leader{pod="b"}': "1x600"},
    ),
    # Being refused is no fault.
    "MirenCsiCallsFailing": Case(calls("0+20x600"), calls("0+20x600", code="ABORTED")),
    "MirenLvmSlow": Case(lvm("0+90x600", "0+100x600"), lvm("0+100x600", "0+100x600")),
}


def test_every_alert_has_its_case() -> None:
    assert {rule["alert"] for rule in files.alerts()} == CASES.keys()


def _firing(alert: str, at: int, *, is_so: bool) -> dict[str, Any]:
    return {
        "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
        "eval_time": f"{at}m",
        "exp_samples": [{"labels": "{}", "value": 1}] if is_so else [],
    }


def _test(series: Series, expected: list[dict[str, Any]]) -> dict[str, Any]:
    given = [{"series": name, "values": values} for name, values in series.items()]
    return {"interval": "1m", "input_series": given, "promql_expr_test": expected}


@pytest.mark.parametrize("rule", files.alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_fires_in_time_and_only_when_it_should(
    rule: dict[str, Any], tmp_path: Path
) -> None:
    alert, case = rule["alert"], CASES[rule["alert"]]
    lasts = {"m": 1, "h": 60}
    patience = rule.get("for", "0m")
    minutes = int(patience[:-1]) * lasts[patience[-1]]
    # Rates have a value after two samples.
    expected = [_firing(alert, minutes + 15, is_so=True)]
    if minutes:
        expected.append(_firing(alert, minutes - 1, is_so=False))
    tests = {
        "rule_files": [str(files.RULES)],
        "evaluation_interval": "1m",
        "tests": [
            _test(case.fires, expected),
            _test(case.quiet, [_firing(alert, minutes + 60, is_so=False)]),
        ],
    }
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump(tests))
    _promtool("test", "rules", str(file))


def test_promtool_finds_no_fault() -> None:
    _promtool("check", "rules", "--lint=all", "--lint-fatal", str(files.RULES))


def _promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
