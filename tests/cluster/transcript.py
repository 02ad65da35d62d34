"""Transcripts in documents, and somebody who types what they say."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.document import commands_of
from tests.cluster.programs import go_program
from tests.lvm.vm import ROOT

README = ROOT / "README.md"

_PROGRESS = re.compile(r"  \w.*")
# Numbers, ids, times; and the ends of pods' names, which Kubernetes makes of these letters.
_VARYING = re.compile(r"\S*(\d|-[bcdfghjklmnpqrstvwxz2456789]{5}\b)\S*")


@dataclass(frozen=True, slots=True)
class Step:
    """What is typed, and what is shown then."""

    command: str
    shown: str


def transcripts_in(document: Path, section: str) -> list[list[Step]]:
    """The steps of each transcript below a heading, in order."""
    texts = [one.text for one in commands_of(document) if one.section == section]
    steps = [re.findall(r"(?m)^\$ ((?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", text) for text in texts]
    return [[Step(command, shown) for command, shown in found] for found in steps if found]


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers, names with one, widths of columns."""
    return " ".join(_VARYING.sub("#", line).split())


class Reader:
    """Somebody who reads a document, in a folder with README's app.toml."""

    def __init__(
        self,
        kubernetes: Cluster,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        address: tuple[str, str] = ("", ""),
    ) -> None:
        """Args: address: a document's, and what is typed instead."""
        self._kubernetes = kubernetes
        self._folder = folder
        self._written, self._typed = address
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "kubectl").symlink_to(go_program("kubectl"))
        path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**(environment or {}), "PATH": path}
        app_toml = folder / ".miren" / "app.toml"
        app_toml.parent.mkdir(exist_ok=True)
        app_toml.write_text(README.read_text().partition("```toml\n")[2].partition("```")[0])

    def types(self, command: str) -> str:
        """Type it, which has to work; returns what is printed on stdout."""
        script = f"cd {self._folder}; {command.replace(self._written, self._typed)}"
        done = self._kubernetes.run(
            "bash", "-euc", script, environment=self._environment, within=300
        )
        print(f"$ {command}{done.stderr}{done.stdout}", end="")
        assert done.returncode == 0, f"{command}{done.stderr}"
        return done.stdout

    def sees(self, step: Step) -> None:
        """Type a step's command: what is printed is what the document shows, to a letter."""
        self._compares(_lines(self.types(step.command)), _lines(step.shown))

    def sees_alike(self, step: Step, until: str = "") -> None:
        """The same, but for numbers and names that differ from run to run.

        Args: until: a heading, below which there may be more and less.
        """
        said, shown = (
            [shape(line) for line in _lines(text.partition(f"\n{until}\n")[0] if until else text)]
            for text in (self.types(step.command).replace(self._typed, self._written), step.shown)
        )
        self._compares(said, shown, strict=False)

    def _compares(self, said: list[str], shown: list[str], *, strict: bool = True) -> None:
        assert shown[len(shown) - len(said) :] == said
        # What happens meanwhile, on stderr, depends on how fast things go.
        before = shown[: len(shown) - len(said)]
        assert not strict or all(map(_PROGRESS.fullmatch, before))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]
