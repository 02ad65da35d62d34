"""Apps of real shapes become exactly the manifests beside them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.deploy import golden_apps

FOLDERS = golden_apps.folders()


def test_there_are_apps_of_many_shapes() -> None:
    assert len(FOLDERS) == 17


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_an_app_becomes_exactly_its_expected_manifests(folder: Path) -> None:
    expected = (folder / golden_apps.EXPECTED).read_text(encoding="utf-8")
    assert golden_apps.translated(folder) == expected


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_an_app_is_warned_about_only_for_a_reason(folder: Path) -> None:
    path = folder / golden_apps.WARNINGS
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    assert golden_apps.warned(folder) == expected


@pytest.mark.parametrize("name", ["migration", "odd-characters"])
def test_the_command_prints_the_same_bytes(name: str) -> None:
    folder = golden_apps.APPS / name
    words = ["translate", ".", "--image", f"registry.example/{name}:1"]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.main", *words],
        cwd=folder,
        # No locale that an encoding could be taken from.
        env={"PYTHONPATH": str(golden_apps.APPS.parents[3]), "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    warnings = folder / golden_apps.WARNINGS
    assert done.returncode == 0
    assert done.stdout == (folder / golden_apps.EXPECTED).read_bytes()
    assert done.stderr == (warnings.read_bytes() if warnings.exists() else b"")


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
