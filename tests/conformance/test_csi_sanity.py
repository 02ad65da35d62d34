"""csi-sanity, the CSI project's own conformance suite, against the driver as a user starts it."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local_driver import LocalDriver
from tests.life.host import Host
from tests.lvm.vm import ROOT

_MIB = 1 << 20
_MAX_VOLUMES = 4
_SECRET = "tell-nobody"  # nobody's password: it must not turn up in the log
_SECRETS = {
    f"{call}Secret": {"key": _SECRET}
    for call in (
        *("CreateVolume", "DeleteVolume", "ControllerPublishVolume", "ControllerUnpublishVolume"),
        *("ControllerValidateVolumeCapabilities", "ControllerExpandVolume"),
        *("ControllerModifyVolume", "NodeStageVolume", "NodePublishVolume"),
        *("CreateSnapshot", "DeleteSnapshot", "ListSnapshots", "GetSnapshot"),
    )
}
_MUTABLE_PARAMETERS = {"readAheadKiB": "512"}


@pytest.fixture
def driver(tmp_path: Path, pool_spec: str) -> Iterator[LocalDriver]:
    options = ("--max-volumes", str(_MAX_VOLUMES), "--log-level", "debug")
    folder = tmp_path / "driver"
    folder.mkdir()
    driver = LocalDriver(folder, pool_spec, options=options)
    try:
        yield driver.start()
    finally:
        driver.kill()
        print(driver.log.read_text()[-20_000:])  # shown when the test fails


@dataclass(frozen=True, slots=True)
class SanityReport:
    """What csi-sanity says: its closing lines, how many specs ended how, and all failures."""

    summary: str
    outcomes: Counter[str]
    failures: str


@pytest.fixture
def sanity(driver: LocalDriver, tmp_path: Path) -> SanityReport:
    """A whole run of csi-sanity with all those parts on that are off unless asked for."""
    program = subprocess.run(
        [ROOT / "scripts/go-program", "csi-sanity"], stdout=subprocess.PIPE, check=True
    )
    options = {
        "csi.endpoint": f"unix://{driver.socket}",
        "csi.mountdir": tmp_path / "mount",
        "csi.stagingdir": tmp_path / "staging",
        "csi.secrets": _yaml(tmp_path / "secrets.yaml", _SECRETS),
        "csi.testvolumesize": 256 * _MIB,
        "csi.testvolumeexpandsize": 512 * _MIB,
        "csi.testvolumemutableparameters": _yaml(tmp_path / "mutable.yaml", _MUTABLE_PARAMETERS),
        "csi.testnodevolumeattachlimit": "true",
        "ginkgo.json-report": tmp_path / "report.json",
        "ginkgo.no-color": "true",
        "ginkgo.seed": 1,
        "ginkgo.timeout": "9m",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    ended = subprocess.run(
        [program.stdout.decode().strip(), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (tmp_path / "report.json").exists(), ended.stdout
    return _read_report(tmp_path / "report.json")


def _yaml(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def _read_report(path: Path) -> SanityReport:
    (suite,) = json.loads(path.read_text())
    specs = [spec for spec in suite["SpecReports"] if spec["LeafNodeType"] == "It"]
    outcomes = Counter(spec["State"] for spec in specs)
    run = outcomes.total() - outcomes["pending"] - outcomes["skipped"]
    counts = " | ".join(
        f"{outcomes[state]} {state.title()}" for state in ("passed", "failed", "pending", "skipped")
    )
    seconds = suite["RunTime"] / 1e9
    return SanityReport(
        f"csi-sanity: ran {run} of {outcomes.total()} specs in {seconds:.0f} s: {counts}",
        outcomes,
        "\n\n".join(
            _story(spec) for spec in specs if "Failure" in spec and spec["State"] != "skipped"
        ),
    )


def _story(spec: dict[str, Any]) -> str:
    """One failure: which spec, what was expected and where it says so."""
    failure = spec["Failure"]
    place = f"{Path(failure['Location']['FileName']).name}:{failure['Location']['LineNumber']}"
    title = " ".join([*spec["ContainerHierarchyTexts"], spec["LeafNodeText"]])
    return f"{spec['State'].upper()} {title} ({place})\n{failure['Message']}"


def test_csi_sanity_passes(
    driver: LocalDriver,
    sanity: SanityReport,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("summary", sanity.summary)

    if sanity.failures:
        pytest.fail(sanity.failures, pytrace=False)
    # One spec is pending inside csi-sanity itself: pagination while volumes come and go.
    assert sanity.outcomes == {"passed": 102, "pending": 1}, sanity.summary
    assert Host(tmp_path).mounts() == []
    assert Host(tmp_path).loop_devices() == []
    assert driver.stop() == 0
    assert _SECRET not in driver.log.read_text()
