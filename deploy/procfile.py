"""The Procfile beside an app's `.miren`: `NAME: COMMAND` a line, as Heroku has it.

https://devcenter.heroku.com/articles/procfile#procfile-format
"""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from csi.object_names import LONGEST_LABEL
from deploy import source
from deploy.model import Service
from deploy.names import miren_name_mistake, nearest_miren_name
from deploy.problems import AppTomlError, Problem, quoted
from deploy.services import process

NAME = "Procfile"

_LINE = re.compile(r"\s*([^:\s]+)\s*:\s*(.*?)\s*")


def beside(app_toml: Path) -> Path | None:
    """Return the Procfile of the app that has this app.toml, None where there is none."""
    if app_toml.absolute().parent.name != source.APP_TOML.parent.name:
        return None
    found = app_toml.absolute().parent.parent / NAME
    return app_toml.parent.parent / NAME if os.path.lexists(found) else None


def read(path: Path) -> dict[str, str]:
    """Return the commands of a Procfile by the names of their services.

    Raises:
        AppTomlError: it cannot be read, or lines of it are wrong.
    """
    commands: dict[str, str] = {}
    problems = []
    text = source.read(path).text
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        mistake = _mistake(found, commands) if found else ("is no `name: command`", _EXAMPLE)
        if mistake:
            problems.append(Problem(str(path), *mistake, line=number, column=1))
        elif found:
            commands[found[1]] = found[2]
    if problems:
        raise AppTomlError(problems)
    return commands


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
