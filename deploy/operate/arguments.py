"""What commands for disks take: names, sizes, where the driver is."""

import argparse
import pkgutil
import re
from collections.abc import Sequence

from controller.sizes import parse_quantity
from csi import DEFAULT_NAMESPACE
from csi.errors import InvalidRequest

BASIC_FORMATS = ("table", "json", "yaml")
FORMATS = ("table", "wide", "json", "yaml", "name")


def add_common(parser: argparse.ArgumentParser, action: str) -> None:
    """Let a command say which cluster is meant, and be done by `action`.

    That is a function of a module of this package, `making:create`: an Action of `running`.
    """
    parser.add_argument("--context", metavar="NAME", help="the kubeconfig context to use")
    parser.add_argument(
        "--driver-namespace",
        metavar="NAME",
        default=DEFAULT_NAMESPACE,
        help="where the driver is installed (default: %(default)s)",
    )
    parser.set_defaults(command=_run, action=action)


def _run(arguments: argparse.Namespace) -> int:
    # Its imports take a second, which other commands need not wait for.
    from deploy.operate.running import run

    return run(pkgutil.resolve_name(f"{__package__}.{arguments.action}"), arguments)


def add_name(parser: argparse.ArgumentParser, flag: str = "-i", what: str = "disk") -> None:
    """Let a command take a name, as a word or, in Miren's spelling, behind a flag."""
    metavar = what.upper()
    parser.add_argument("name", metavar=metavar, nargs="?", help=f"the {what}'s name")
    parser.add_argument(flag, dest="flagged", metavar=metavar, help="the same")


def add_size(parser: argparse.ArgumentParser, default: str) -> None:
    """Let a command take a size."""
    text = f'in GiB, or with a unit: "20Gi" (default: {default})'
    chosen = size(default) if default.isdecimal() else None
    parser.add_argument("-s", "--size", metavar="SIZE", type=size, default=chosen, help=text)


def add_output(parser: argparse.ArgumentParser, formats: Sequence[str] = BASIC_FORMATS) -> None:
    """Let a command print in several forms."""
    parser.add_argument("-o", "--output", choices=formats, default=formats[0], help="the form")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Let a command ask no questions."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def size(text: str) -> int:
    """Return the bytes of a size as a user writes it: a number alone counts GiB.

    Raises argparse.ArgumentTypeError.
    """
    # More than nine digits are no size that anybody means, and too many for the driver.
    written = f"{text}Gi" if re.fullmatch(r"\d{1,9}", text) else text
    if re.fullmatch(r"\d+", written):
        raise argparse.ArgumentTypeError(f'size "{text}" is too large: a number alone counts GiB')
    try:
        return parse_quantity(written)
    except InvalidRequest as error:
        raise argparse.ArgumentTypeError(str(error)) from None
