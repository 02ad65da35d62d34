"""The Procfile beside an app's `.miren`: `NAME: COMMAND` a line, as Heroku has it.

https://devcenter.heroku.com/articles/procfile#procfile-format
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from csi.object_names import LONGEST_LABEL
from deploy import source
from deploy.model import Service
from deploy.names import miren_name_mistake, nearest_miren_name
from deploy.positions import Position
from deploy.problems import AppTomlError, Findings, Problem, in_file_order, quoted
from deploy.services import process

NAME = "Procfile"

_LINE = re.compile(r"\s*([^:\s]+)\s*:\s*(.*?)\s*")


@dataclass(frozen=True, slots=True)
class Processes:
    """What a Procfile says: the commands by the names of their services, and what is wrong."""

    commands: dict[str, str] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    findings: Findings = field(default_factory=lambda: Findings(NAME, {}))
    """Collects what is said about commands; knows the line of each service."""

    def all_problems(self) -> list[Problem]:
        """Return what is wrong with the file and with its commands, in its order."""
        return in_file_order([*self.problems, *self.findings.errors])


def read_beside(app_toml: Path) -> Processes:
    """Return what the Procfile of the app with this app.toml says, nothing where it has none."""
    path = _beside(app_toml)
    return _read(path) if path else Processes()


def _beside(app_toml: Path) -> Path | None:
    if app_toml.absolute().parent.name != source.APP_TOML.parent.name:
        return None
    found = app_toml.absolute().parent.parent / NAME
    return app_toml.parent.parent / NAME if os.path.lexists(found) else None


def _read(path: Path) -> Processes:
    commands: dict[str, str] = {}
    findings = Findings(str(path), {})
    problems = []
    try:
        text = source.read(path).text
    except AppTomlError as error:
        # What to do about a whole file is said for an app.toml, which somebody named.
        return Processes(
            problems=[
                problem if problem.line else replace(problem, instead=_REPAIR)
                for problem in error.problems
            ]
        )
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        mistake = _mistake(found, commands) if found else ("is no `name: command`", _EXAMPLE)
        if mistake:
            problems.append(Problem(str(path), *mistake, line=number, column=1))
        elif found:
            commands[found[1]] = found[2]
            findings.positions[found[1],] = Position(number, 1)
    return Processes(commands, problems, findings)


_REPAIR = "mend or remove this file, which stands beside .miren"
_EXAMPLE = "write for example web: npm start"


def _mistake(found: re.Match[str], known: Iterable[str]) -> tuple[str, str] | None:
    name, command = found[1], found[2]
    if mistake := miren_name_mistake(name, LONGEST_LABEL):
        better = nearest_miren_name(name, LONGEST_LABEL) or "web"
        return f"names a service {quoted(name)}, which {mistake}", f"write {better}: {command}"
    if not command:
        return f"has no command for {name}", f"write for example {name}: npm start"
    if name in known:
        return f"defines {name} again", "keep one of the lines"
    return None


def with_processes(services: Iterable[Service], commands: dict[str, str]) -> list[Service]:
    """Return the services of an app.toml and those that only its Procfile has.

    What app.toml says of a service wins; one with an image of its own has nothing of the app's.
    """
    missing = dict(commands)
    merged = []
    for service in services:
        command = missing.pop(service.name, None)
        runs_app = service.command is None and service.image is None
        merged.append(replace(service, command=command) if runs_app and command else service)
    return [*merged, *(process(name, command) for name, command in missing.items())]
