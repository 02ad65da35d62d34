"""Apps of real shapes become exactly the manifests beside them."""

from pathlib import Path

import pytest
import yaml

from deploy import parse
from tests.unit.deploy import golden_apps

FOLDERS = golden_apps.folders()

# What is told about those that are not quite right.
WARNED = {"migration": ["env[0]"]}


def test_there_are_apps_of_many_shapes() -> None:
    assert len(FOLDERS) == 17


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_an_app_becomes_exactly_its_expected_manifests(folder: Path) -> None:
    expected = (folder / golden_apps.EXPECTED).read_text(encoding="utf-8")
    assert golden_apps.translated(folder) == expected


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_an_app_is_warned_about_only_for_a_reason(folder: Path) -> None:
    warnings = parse(folder / ".miren" / "app.toml").warnings
    assert [warning.key for warning in warnings] == WARNED.get(folder.name, [])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_what_refers_to_another_object_finds_it(folder: Path) -> None:
    found = list(yaml.safe_load_all((folder / golden_apps.EXPECTED).read_text(encoding="utf-8")))
    names = {(each["kind"], each["metadata"]["name"]) for each in found}
    for each in found:
        if each["kind"] == "HorizontalPodAutoscaler":
            assert ("Deployment", each["spec"]["scaleTargetRef"]["name"]) in names
        if each["kind"] not in {"Deployment", "Job"}:
            continue
        pod = each["spec"]["template"]["spec"]
        for volume in pod.get("volumes", []):
            claim = volume["persistentVolumeClaim"]["claimName"]
            assert ("PersistentVolumeClaim", claim) in names
        for source in pod["containers"][0].get("envFrom", []):
            assert ("Secret", source["secretRef"]["name"]) in names
