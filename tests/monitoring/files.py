"""The alerts and the dashboard as they are shipped, and what they ask Prometheus for."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPONENT = ROOT / "deploy" / "kubernetes" / "components" / "monitoring"
RULES = COMPONENT / "rules.yaml"
DASHBOARD = COMPONENT / "dashboard.json"

ELSEWHERE = {
    "up",  # Prometheus itself
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "kube_persistentvolumeclaim_info",  # kube-state-metrics
    "kube_persistentvolume_info",
}
"""Metrics of others that the alerts use."""

_WORDS = {"and", "or", "unless", "on", "by", "without", "ignoring", "group_left", "group_right"}
_LABEL_LISTS = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Expression:
    """A query, and where it is written."""

    where: str
    text: str

    def metrics(self) -> set[str]:
        """The names of all metrics in it."""
        bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', "", self.text)
        bare = _LABEL_LISTS.sub("", bare)
        names = re.findall(r"(?<![\w.])[a-zA-Z_]\w*\b(?!\s*\()", bare)
        return set(names) - _WORDS

    def labels(self) -> set[str]:
        """The names of all labels in it."""
        text = re.sub(r'"[^"]*"', '""', self.text)
        lists = [names for _, names in _LABEL_LISTS.findall(text)]
        matchers = re.findall(r"\{([^}]*)\}", text)
        return {name for part in lists for name in re.findall(r"\w+", part)} | {
            name for part in matchers for name in re.findall(r"\w+(?==|!)", part)
        }


def alerts() -> list[dict[str, Any]]:
    """All alerting rules."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert_expressions() -> list[Expression]:
    return [Expression(rule["alert"], rule["expr"]) for rule in alerts()]


def dashboard_expressions() -> list[Expression]:
    """What Grafana asks for when all nodes are chosen."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = []
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            values = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert values, variable
            text = f"count by ({values[2]}) ({values[1]})"
            found.append(Expression(f"variable {variable['name']}", text))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$node", ".*").replace("$__rate_interval", "1m")
            found.append(Expression(f"{panel['title']} {target['refId']}", text))
    return found


def dashboard_labels() -> set[str]:
    """The labels that its legends show."""
    return set(re.findall(r"\{\{(\w+)\}\}", DASHBOARD.read_text()))


def documented() -> dict[str, tuple[str, set[str]]]:
    """The table in docs/metrics.md: type and labels of each metric."""
    lines = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return {
        name.strip(" `"): (kind.strip(), set(labels.replace(",", " ").split()))
        for name, kind, labels, *_ in rows
    }
