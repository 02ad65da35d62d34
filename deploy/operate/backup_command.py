"""`kubectl miren disk backup` and `disk restore`: their commands."""

import argparse

from deploy.operate import retention
from deploy.operate.arguments import add_common, add_output, add_size, add_yes

PLACES = "FILE|REPO"
REPOSITORY = "REPO"

_DESCRIPTION = """\
Back up disks, in use or not: what is stored is a copy of the moment, cut in no time.

`disk backup DISK --to …` is short for `disk backup create DISK --to …`.

Where backups are:
  FILE                      one file here, of which tar and zstd can make the files again
  s3:https://SERVER/BUCKET  a repository of restic: encrypted, each backup adds only what is new
  node:/FOLDER              the same, in a folder of the disk's node

A repository is opened by what the Secret of --secret has, or the environment here: RESTIC_PASSWORD
or RESTIC_PASSWORD_FILE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and
AWS_DEFAULT_REGION."""

_RESTORE = """\
Make a disk from a backup: a FILE, or the newest one of a disk in a repository.

Nothing has the disk's name before all of it is there and verified."""


def add_to(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to those of `disk`."""
    backup = verbs.add_parser(
        "backup",
        help="back up disks; list, verify and prune backups",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = backup.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_create(inner)
    _add_list(inner)
    _add_verify(inner)
    _add_prune(inner)
    _add_restore(verbs)


def add_hooks(parser: argparse.ArgumentParser) -> None:
    """Let a command have an app do something around the cut."""
    where = "a shell line, run in the pod that holds the disk"
    parser.add_argument("--pre", metavar="COMMAND", help=f"{where}, before the copy is cut")
    parser.add_argument(
        "--post", metavar="COMMAND", help=f"{where}, when it is cut, or was not to be"
    )
    parser.add_argument(
        "--container", metavar="NAME", help="the container for these (default: the pod's first)"
    )


def add_changed_blocks(parser: argparse.ArgumentParser) -> None:
    """Let a command read only what has changed of a raw device."""
    parser.add_argument(
        "--changed-blocks",
        action="store_true",
        help="of a raw device, to a REPO: keep the copy in the pool until the next backup, which "
        "then reads only what has changed",
    )


def _add_create(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "create",
        help="back up a disk, in use or not",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="DISK", help="the disk's name")
    parser.add_argument("--to", metavar=PLACES, required=True, help="where the backup goes")
    add_secret(parser)
    parser.add_argument(
        "--snapshot", metavar="SNAPSHOT", help="what this snapshot of the disk has, not it itself"
    )
    add_changed_blocks(parser)
    parser.add_argument("--force", action="store_true", help="replace a FILE that exists")
    add_hooks(parser)
    retention.add_to(parser)
    _add_timeout(parser)
    add_common(parser, "backing_up:backup")


def _add_list(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "list", help="list backups", description="List the backups in a repository, or a file."
    )
    _add_place(parser)
    parser.add_argument("--disk", metavar="NAME", help="only this disk's")
    add_output(parser)
    _add_opening(parser)
    add_common(parser, "backups:show")


def _add_verify(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "verify",
        help="look whether backups can still be restored",
        description="Look whether what was stored is all there, and unchanged. Of a file all is "
        "read, of a repository only with --read-data.",
    )
    _add_place(parser)
    parser.add_argument(
        "--read-data", action="store_true", help="read all that the repository holds"
    )
    _add_opening(parser)
    add_common(parser, "backups:verify")


def _add_prune(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "prune",
        help="remove old backups from a repository",
        description="Remove backups of this cluster from a repository, but for those that are to "
        "be kept, and what only they needed.",
    )
    _add_place(parser, REPOSITORY)
    parser.add_argument("--disk", metavar="NAME", help="only this disk's (default: all disks')")
    parser.add_argument(
        "--all-clusters", action="store_true", help="also those that other clusters have made"
    )
    retention.add_to(parser)
    add_yes(parser)
    _add_opening(parser)
    add_common(parser, "backups:prune")


def _add_restore(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "restore",
        help="make a disk from a backup",
        description=_RESTORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_place(parser)
    parser.add_argument(
        "--as", dest="new", metavar="NEW", help="the disk's name (default: that of the backup's)"
    )
    parser.add_argument("--disk", metavar="NAME", help="whose backup, in a repository of several")
    parser.add_argument("--backup", metavar="ID", help="which one (default: the newest)")
    add_size(parser, "as large as it was")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="delete the disk of that name when the backup is there; refused while a pod holds it "
        "or a claim has it",
    )
    add_yes(parser)
    _add_opening(parser)
    _add_timeout(parser)
    add_common(parser, "restoring:restore")


def add_secret(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Let a command name the Secret that opens a repository."""
    parser.add_argument(
        "--secret",
        metavar="NAME",
        required=required,
        help="a Secret in the driver's namespace with what opens the repository",
    )


def _add_place(parser: argparse.ArgumentParser, metavar: str = PLACES) -> None:
    parser.add_argument("place", metavar=metavar, help="where the backups are")


def _add_opening(parser: argparse.ArgumentParser) -> None:
    add_secret(parser)
    parser.add_argument(
        "--node", metavar="NODE", help="the node that does it (default: the coordinator)"
    )


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=300.0,
        help="how long the copying pod may take to start (default: %(default)g)",
    )
