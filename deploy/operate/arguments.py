"""What commands for disks take: names, sizes, where the driver is."""

import argparse
import re
from collections.abc import Callable, Sequence

from controller.sizes import parse_quantity
from csi.errors import InvalidRequest

_DRIVER_NAMESPACE = "miren-system"
BASIC_FORMATS = ("table", "json", "yaml")
FORMATS = ("table", "wide", "json", "yaml", "name")
STATES = ("provisioning", "attached", "detached", "deleting", "error")
LEASE_STATES = ("pending", "bound", "released", "failed")


def add_common(
    parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace], int]
) -> None:
    """Let a command say which cluster is meant, and be done by `command`."""
    parser.add_argument("--context", metavar="NAME", help="the kubeconfig context to use")
    parser.add_argument(
        "--driver-namespace",
        metavar="NAME",
        default=_DRIVER_NAMESPACE,
        help="where the driver is installed (default: %(default)s)",
    )
    parser.set_defaults(command=command)


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
