"""The command `miren-mover`: what a mover pod runs, and what is started there by exec."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from csi.errors import DiskError, InvalidRequest
from deploy.mover import about, hold, image, parts, repository
from deploy.mover.about import About
from deploy.mover.lines import Lines
from deploy.mover.read_file import read_file
from deploy.mover.write_file import write_file

FOLDER = Path("/disk")
"""Where the pod has the volume."""

Facts = dict[str, object]
Command = Callable[[argparse.Namespace, Lines], Facts]


def main(words: Sequence[str] | None = None) -> int:
    """Do what was asked for, tell it in lines of JSON, and return the exit status: 0, 1 or 2."""
    arguments = _parser().parse_args(words)
    lines = Lines(sys.stderr if arguments.streams else sys.stdout)
    # As a container's first process it would not be ended by SIGTERM otherwise.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command: Command = arguments.command
    try:
        facts = command(arguments, lines)
    except DiskError as error:
        lines.failure(str(error))
        return 1
    except KeyboardInterrupt:
        lines.failure("it was told to end before it had done all: start it again")
        return 1
    except OSError as error:
        lines.failure(f"something that the mover needs failed: {error}")
        return 1
    with hold.waiting(arguments.hold) if arguments.hold else nullcontext():
        lines.result(facts)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="miren-mover",
        description=f"Move what is on the disk at {FOLDER} into a backup and back.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, about: str, command: Command, *, streams: bool = False
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(command=command, streams=streams, hold=0.0)
        return added

    waits = add("hold", "wait for SIGTERM while others work in the container", _nothing)
    waits.set_defaults(hold=hold.UNVISITED)
    for name, text, streamed in (
        ("write-file", "write the archive of the disk to standard output", _write_file),
        ("read-file", "fill the empty disk from an archive on standard input", _read_file),
    ):
        _moves(add(name, text, streamed, streams=True), about=name == "write-file")
    backs_up = add("backup", "add a backup of the disk to a repository", _backup)
    _moves(backs_up, about=True)
    backs_up.add_argument(
        "--changes", metavar="JSON", help="with --block: what is written, and what has changed"
    )
    restored = add("restore", "fill the empty disk from a repository", _restore)
    _moves(restored)
    restored.add_argument("--backup", metavar="ID", required=True)
    restored.add_argument(
        "--hold",
        action="store_const",
        const=hold.LEFT,
        default=0.0,
        help="then wait, as the command hold does",
    )
    add("init", "make the repository, if there is none", _init)
    add("list", "list a repository's backups", _list)
    checked = add("check", "verify a repository", _check)
    checked.add_argument("--read-data", action="store_true", help="also all that the backups hold")
    _prunes(add("prune", "remove a disk's old backups", _prune))
    return parser


def _moves(parser: argparse.ArgumentParser, *, about: bool = False) -> None:
    parser.add_argument(
        "--block", action="store_true", help=f"{FOLDER} holds one file, a raw device"
    )
    if about:
        parser.add_argument("--about", metavar="JSON", required=True, help="what the disk is")


def _prunes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--disk", metavar="NAME", required=True)
    parser.add_argument("--cluster", metavar="UID", default="", help="only what this one has made")
    for period in repository.PERIODS:
        parser.add_argument(f"--keep-{period}", metavar="N", type=int, default=0)


def _nothing(_arguments: argparse.Namespace, _lines: Lines) -> Facts:
    return {}


def _init(_arguments: argparse.Namespace, lines: Lines) -> Facts:
    return repository.make(lines)


def _list(_arguments: argparse.Namespace, lines: Lines) -> Facts:
    return repository.listed(lines)


def _write_file(arguments: argparse.Namespace, lines: Lines) -> Facts:
    return write_file(FOLDER, _about(arguments), sys.stdout.buffer, lines, block=arguments.block)


def _about(arguments: argparse.Namespace) -> About:
    """Return what the disk is; a device that has grown since it was asked is as large as it is."""
    told = about.parse(arguments.about)
    if not arguments.block:
        return told
    return replace(told, size=max(told.size, image.size(image.path(FOLDER))))


def _read_file(arguments: argparse.Namespace, lines: Lines) -> Facts:
    return read_file(FOLDER, sys.stdin.buffer, lines, block=arguments.block)


def _backup(arguments: argparse.Namespace, lines: Lines) -> Facts:
    if arguments.changes and not arguments.block:
        raise InvalidRequest("--changes are those of a raw device, and go with --block")
    changes = parts.parse(arguments.changes) if arguments.changes else None
    about = _about(arguments)
    return repository.backup(FOLDER, about, lines, block=arguments.block, changes=changes)


def _restore(arguments: argparse.Namespace, lines: Lines) -> Facts:
    return repository.restore(FOLDER, arguments.backup, lines, block=arguments.block)


def _check(arguments: argparse.Namespace, lines: Lines) -> Facts:
    return repository.check(lines, read_data=arguments.read_data)


def _prune(arguments: argparse.Namespace, lines: Lines) -> Facts:
    keep = {period: getattr(arguments, f"keep_{period}") for period in repository.PERIODS}
    return repository.prune(arguments.disk, keep, lines, cluster=arguments.cluster)


if __name__ == "__main__":
    sys.exit(main())
