"""`kubectl miren disk`: its commands."""

import argparse

from csi.disk import DEFAULT_FILESYSTEM, FILESYSTEMS
from deploy.operate import backup_command, lease_command, schedule_command, snapshot_command
from deploy.operate.arguments import (
    FORMATS,
    add_common,
    add_name,
    add_output,
    add_size,
    add_yes,
    size,
)
from deploy.operate.disk_state import BLOCK, DiskState

_LASTING = tuple(state for state in DiskState if state is not DiskState.DELETED)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of kubectl-miren."""
    disk = commands.add_parser(
        "disk",
        help="look at disks; make, resize, copy, back up and delete them",
        description="What an operator does with disks. Only `delete` deletes data.",
    )
    verbs = disk.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_list(verbs)
    _add_status(verbs)
    _add_mounts(verbs)
    _add_create(verbs)
    _add_delete(verbs)
    _add_resize(verbs)
    _add_clone(verbs)
    snapshot_command.add_to(verbs)
    backup_command.add_to(verbs)
    schedule_command.add_to(verbs)
    lease_command.add_to(verbs)


def _add_list(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "list",
        help="list disks",
        description="List disks: how large, how full, who has them. See docs/disk.md.",
    )
    add_output(parser, FORMATS)
    parser.add_argument(
        *("-w", "--watch"),
        action="store_true",
        help="go on, with a row for each disk that changes, until Ctrl-C",
    )
    text = 'only disks whose PersistentVolume has these labels: "team=web,tier!=test"'
    parser.add_argument("-l", "--selector", metavar="LABELS", default="", help=text)
    text = "only disks that this app claims, or has made and nobody claims"
    parser.add_argument("--app", metavar="APP", help=text)
    text = "only disks that a claim in this namespace has"
    parser.add_argument("-n", "--namespace", metavar="NAME", help=text)
    parser.add_argument("--state", choices=_LASTING, help="only disks in this state")
    parser.add_argument("--node", metavar="NODE", help="only disks in the pool of this node")
    parser.add_argument(
        "--filesystem", choices=(*FILESYSTEMS, BLOCK), help="only disks with this filesystem"
    )
    add_common(parser, "disk_list:disks")


def _add_status(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "status",
        help="tell everything about a disk",
        description="Tell everything about a disk, and what to do if something is wrong.",
    )
    add_name(parser)
    add_output(parser)
    add_common(parser, "disk_status:status")


def _add_mounts(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "mounts", help="list the pods that have disks", description="List who has which disk where."
    )
    parser.add_argument("name", metavar="DISK", nargs="?", help="only this disk's")
    add_output(parser, FORMATS)
    add_common(parser, "mounting:mounts")


def _add_create(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "create",
        help="make an empty disk",
        description="Make an empty disk. The first app that names it gets it.",
    )
    add_name(parser, "-n")
    add_size(parser, "10")
    parser.add_argument(
        *("-f", "--filesystem"),
        choices=FILESYSTEMS,
        default=DEFAULT_FILESYSTEM,
        help="default: %(default)s",
    )
    parser.add_argument("-c", "--created-by", metavar="WHO", help="noted with the disk")
    parser.add_argument(
        "--node", metavar="NODE", help="the node whose pool it goes to (default: the coordinator)"
    )
    add_common(parser, "making:create")


def _add_delete(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "delete",
        help="delete a disk and its data",
        description="Delete a disk and its data. One that a pod holds or a claim has is refused. "
        "Its snapshots stay.",
    )
    add_name(parser)
    add_yes(parser)
    add_common(parser, "deleting:delete")


def _add_resize(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "resize",
        help="grow a disk, in use or not",
        description="Grow a disk and its filesystem, in use or not. Disks never shrink.",
    )
    parser.add_argument("name", metavar="DISK", help="the disk's name")
    text = 'the new size in GiB, or with a unit: "20Gi"'
    parser.add_argument("size", metavar="SIZE", type=size, help=text)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=300.0,
        help="how long to wait (default: %(default)g)",
    )
    add_common(parser, "resizing:resize")


def _add_clone(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "clone",
        help="copy a disk, in use or not",
        description="Make a disk with the content that another one has now, in use or not. It is "
        "a thin copy: it takes room only for what changes.",
    )
    parser.add_argument("name", metavar="DISK", help="the disk to copy")
    parser.add_argument("new", metavar="NEW", help="the new disk's name")
    add_size(parser, "as large as the first")
    add_common(parser, "making:clone")
