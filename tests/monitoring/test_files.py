"""The component: one source for the rules, a runbook for each, what operator and Grafana get."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.programs import go_program
from tests.monitoring import files

OF_SCRAPING = {"instance", "job", "le", "pod", "namespace", "persistentvolumeclaim"}
OF_OTHERS = {"persistentvolume", "csi_driver"}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an installation with the component has, by kind and name."""
    folder = tmp_path_factory.mktemp("kustomization")
    base = files.ROOT / "deploy" / "kubernetes" / "overlays" / "loop"
    wanted = {
        "resources": [os.path.relpath(base, folder)],
        "components": [os.path.relpath(files.COMPONENT, folder)],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
    argv: list[str | Path] = [go_program("kubectl"), "kustomize", folder]
    made = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in yaml.safe_load_all(made)}


def test_the_operators_rules_are_those_of_the_plain_file(objects: dict[str, Any]) -> None:
    plain = yaml.safe_load(files.RULES.read_text())
    assert objects["PrometheusRule/miren-csi"]["spec"] == plain


def test_the_pod_monitor_selects_the_pods_of_both_plugins_and_their_port(
    objects: dict[str, Any],
) -> None:
    monitor = objects["PodMonitor/miren-csi"]
    selected = monitor["spec"]["selector"]["matchLabels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for plugin in ("Deployment/miren-csi-controller", "DaemonSet/miren-csi-node"):
        assert objects[plugin]["metadata"]["namespace"] == monitor["metadata"]["namespace"]
        template = objects[plugin]["spec"]["template"]
        assert selected <= template["metadata"]["labels"].items()
        ports = [port["name"] for one in template["spec"]["containers"] for port in one["ports"]]
        assert ports.count(endpoint["port"]) == 1


def test_grafanas_sidecar_finds_the_dashboard(objects: dict[str, Any]) -> None:
    found = objects["ConfigMap/miren-csi-dashboard"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = found["data"].values()
    dashboard = json.loads(text)
    assert dashboard == json.loads(files.DASHBOARD.read_text())
    assert [one["name"] for one in dashboard["templating"]["list"]] == ["datasource", "node"]


def test_every_alert_tells_what_to_do_and_has_a_section_in_the_runbook() -> None:
    sections = re.findall(
        r"^## (\w+)$", (files.ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE
    )
    assert sections == [rule["alert"] for rule in files.alerts()]
    for rule in files.alerts():
        told = rule["annotations"]
        assert told.keys() == {"summary", "description", "runbook"}
        assert told["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_no_query_or_sentence_names_a_label_that_no_metric_has() -> None:
    known = {label for _, labels in files.documented().values() for label in labels}
    for one in [*files.dashboard_expressions(), *files.alert_expressions()]:
        assert one.labels() <= known | OF_SCRAPING | OF_OTHERS, one
    sentences = [text for rule in files.alerts() for text in rule["annotations"].values()]
    named = {name for text in sentences for name in re.findall(r"\$labels\.(\w+)", text)}
    assert named | files.dashboard_labels() <= known | OF_SCRAPING
