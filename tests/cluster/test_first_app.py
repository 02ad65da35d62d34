"""README's "Deploy your first app", followed word by word, ends with a database that answers."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import images
from tests.cluster.cluster import Cluster
from tests.cluster.document import commands_of
from tests.cluster.driver import Driver
from tests.cluster.programs import go_program
from tests.lvm.vm import ROOT

_SECTION = "Deploy your first app"
_README = ROOT / "README.md"
_PROGRESS = re.compile(r"  \w+  \w.*")


@dataclass(frozen=True, slots=True)
class Step:
    """What is typed, and what is shown then."""

    command: str
    shown: str


def _steps() -> list[Step]:
    (transcript,) = (one.text for one in commands_of(_README) if one.section == _SECTION)
    found = re.findall(r"(?m)^\$ ((?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", transcript)
    return [Step(command, shown) for command, shown in found]


@pytest.fixture
def reader(
    kubernetes: Cluster,
    driver: Driver,  # noqa: ARG001 - installed
    tmp_path: Path,
) -> Iterator[Path]:
    """The folder of somebody who has saved the app.toml, and has kubectl and kubectl-miren."""
    kubernetes.load(images.postgresql())
    section = _README.read_text(encoding="utf-8").partition(f"## {_SECTION}\n")[2]
    app_toml = tmp_path / ".miren" / "app.toml"
    app_toml.parent.mkdir()
    app_toml.write_text(section.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    (tmp_path / "kubectl").symlink_to(go_program("kubectl"))
    yield tmp_path
    kubernetes.miren("undeploy", "shop")
    kubernetes.miren("disk", "delete", "shopdata", "--yes", within=120)


def test_followed_word_by_word(kubernetes: Cluster, reader: Path) -> None:
    path = f"{reader}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    steps = _steps()
    assert "psql" in steps[-1].command

    for step in steps:
        script = f"cd {reader}; {step.command}"
        done = kubernetes.run("bash", "-euc", script, environment={"PATH": path}, within=300)
        assert done.returncode == 0, f"{step.command}{done.stderr}"
        said, shown = _lines(done.stdout), _lines(step.shown)
        assert shown[-len(said) :] == said
        # What happens meanwhile depends on how fast things go.
        assert all(map(_PROGRESS.fullmatch, shown[: -len(said)]))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]
