"""`kubectl miren validate`: all that is wrong with an app.toml, for people and for programs."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass

from deploy import app_argument, console
from deploy.model import AppConfig
from deploy.parsing import parse
from deploy.problems import AppTomlError, Problem, shown_file

_DESCRIPTION = """\
Check an app.toml: print every mistake and every warning, in the order of the file.

Each is one line: FILE:LINE:COLUMN: KEY: what is wrong; what to write instead. Warnings begin with
"warning: ". A file without mistakes is summed up in a last line."""
_EPILOG = """\
examples:
  kubectl miren validate
  kubectl miren validate shop/ && kubectl miren translate shop/ | kubectl apply -f -
  kubectl miren validate - -o json < app.toml

-o json prints one object:
  file      the app.toml's path, or <stdin>
  valid     true or false; a file with warnings is valid
  app       the app's name             }
  services  how many services it has   } null in a file that is not valid
  disks     how many disks it has      }
  problems  a list in the order of the file, each an object:
    severity  "error" or "warning"
    file      as above, or the folder from which no app.toml was found
    line      from 1; null where nothing in the file is to blame, as for a missing name
    column    from 1, in characters; null with the line
    key       such as services.db.disks[0].size_gb; empty where it is about no key
    what      what is wrong
    instead   what to write instead

exit status: 0 no mistakes, 1 the result could not be written, 2 the app.toml or the command line
is wrong."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of kubectl-miren."""
    parser = commands.add_parser(
        "validate",
        help="print all that is wrong with an app.toml",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=validate)
    app_argument.add_to(parser)
    parser.add_argument(
        "-o",
        "--output",
        choices=["text", "json"],
        default="text",
        help="the format of the result (default: %(default)s)",
    )


def validate(options: argparse.Namespace) -> int:
    """Print what is wrong with the app that the options name; return the exit status."""
    result = _check(options.path)
    text = _as_json(result) if options.output == "json" else _as_text(result)
    status = console.write(text, "the result")
    return status or (0 if result.config else 2)


@dataclass(frozen=True, slots=True)
class _Result:
    """What was found in one file; `config` is None where there are mistakes."""

    file: str
    config: AppConfig | None
    errors: Sequence[Problem]
    warnings: Sequence[Problem]

    @property
    def findings(self) -> list[tuple[str, Problem]]:
        """Each problem after its severity, in the file's order."""
        errors = [("error", problem) for problem in self.errors]
        warnings = [("warning", problem) for problem in self.warnings]
        return sorted([*errors, *warnings], key=lambda finding: finding[1].place)

    @property
    def services(self) -> int | None:
        return len(self.config.services) if self.config else None

    @property
    def disks(self) -> int | None:
        """Each disk counts once, however many services mount it."""
        if self.config is None:
            return None
        return len({(disk.provider, disk.name) for disk in self.config.disks})


def _check(path: str | None) -> _Result:
    file = path or "."
    try:
        given = app_argument.find(path)
        file = given.file
        config = parse(given.content, given.file)
    except AppTomlError as error:
        return _Result(file, None, error.problems, error.warnings)
    return _Result(file, config, (), config.warnings)


def _as_text(result: _Result) -> str:
    lines = [
        f"{'warning: ' if severity == 'warning' else ''}{problem}"
        for severity, problem in result.findings
    ]
    if result.config:
        counted = f"{_count(result.services, 'service')}, {_count(result.disks, 'disk')}"
        lines.append(f"{shown_file(result.file)}: ok: {counted}")
    return "".join(f"{line}\n" for line in lines)


def _as_json(result: _Result) -> str:
    document = {
        "file": result.file,
        "valid": result.config is not None,
        "app": result.config.name if result.config else None,
        "services": result.services,
        "disks": result.disks,
        "problems": [
            {
                "severity": severity,
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "key": problem.key,
                "what": problem.what,
                "instead": problem.instead,
            }
            for severity, problem in result.findings
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _count(number: int | None, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
