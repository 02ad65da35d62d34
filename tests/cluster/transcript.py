"""Transcripts in documents, and somebody who types what they say."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.document import commands_of
from tests.cluster.programs import folder_with
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
        programs = folder_with(folder / "bin", "kubectl")
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
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
        _compare(self.types(step.command), step.shown, str.rstrip)

    def sees_alike(self, step: Step, until: str = "") -> None:
        """The same, but for numbers and names that differ from run to run.

        Args: until: a heading, below which there may be more and less.
        """
        said = self.types(step.command).replace(self._typed, self._written)
        end = f"\n{until}\n" if until else "\0"
        _compare(said.partition(end)[0], step.shown.partition(end)[0], shape)


def _compare(said: str, shown: str, of: Callable[[str], str]) -> None:
    """Hold what was printed on stdout against a transcript, line by line, as `of` makes them."""
    printed, lines = said.rstrip().splitlines(), shown.rstrip().splitlines()
    begin = len(lines) - len(printed)
    assert [*map(of, lines[begin:])] == [*map(of, printed)]
    # What happens meanwhile, on stderr, depends on how fast things go.
    assert all(map(_PROGRESS.fullmatch, lines[:begin]))
