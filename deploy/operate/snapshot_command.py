"""`kubectl miren disk snapshot`: its commands."""

import argparse

from deploy.operate.arguments import (
    BASIC_FORMATS,
    add_common,
    add_name,
    add_output,
    add_size,
    add_yes,
)


def add_to(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of `disk`."""
    snapshot = verbs.add_parser(
        "snapshot",
        help="cut, list, restore and delete snapshots",
        description="Snapshots of disks. The driver cuts them itself: they need no CRDs and belong "
        "to no namespace.",
    )
    inner = snapshot.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_create(inner)
    _add_list(inner)
    _add_restore(inner)
    _add_delete(inner)


def _add_create(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "create",
        help="cut a snapshot of a disk, in use or not",
        description="Cut a snapshot of a disk, in use or not: its filesystem is frozen for the "
        "moment. It takes room only for what changes afterwards.",
    )
    parser.add_argument("disk", metavar="DISK", help="the disk's name")
    parser.add_argument("name", metavar="SNAPSHOT", help="the snapshot's name, a new one")
    add_common(parser, "snapshots:create")


def _add_list(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "list", help="list snapshots", description="List snapshots, of one disk or of all."
    )
    parser.add_argument("disk", metavar="DISK", nargs="?", help="the disk's name")
    add_output(parser, (*BASIC_FORMATS, "name"))
    add_common(parser, "snapshots:show")


def _add_restore(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "restore",
        help="make a new disk from a snapshot",
        description="Make a new disk with the content of a snapshot. No disk is ever overwritten.",
    )
    parser.add_argument("name", metavar="SNAPSHOT", help="the snapshot's name")
    parser.add_argument("--as", dest="new", metavar="DISK", required=True, help="the new disk")
    add_size(parser, "as large as the snapshot")
    parser.add_argument("--block", action="store_true", help="for a disk used as a raw device")
    add_common(parser, "snapshots:restore")


def _add_delete(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "delete",
        help="delete a snapshot",
        description="Delete a snapshot. Its disk and the disks that were made from it stay.",
    )
    add_name(parser, what="snapshot")
    add_yes(parser)
    add_common(parser, "snapshots:delete")
