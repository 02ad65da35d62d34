"""The argument PATH, by which every command is given an app."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from deploy import source


@dataclass(frozen=True, slots=True)
class GivenApp:
    """An app.toml as `parse` takes it: its path or what it holds, and what messages call it."""

    content: Path | bytes
    file: str


def add_to(parser: argparse.ArgumentParser) -> None:
    """Let a command take a PATH, or none."""
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="an app.toml, a folder that holds .miren/app.toml, or - for standard input "
        "(default: the nearest .miren/app.toml, searched upwards from here)",
    )


def find(path: str | None) -> GivenApp:
    """Return the app that PATH means.

    Raises:
        AppTomlError: none was given and there is none above; standard input cannot be read.
    """
    if path == "-":
        return GivenApp(source.read_standard_input(), source.STANDARD_INPUT)
    found = source.search_upwards() if path is None else source.app_toml_at(Path(path))
    return GivenApp(found, str(found))
