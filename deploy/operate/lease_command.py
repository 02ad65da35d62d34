"""`kubectl miren disk lease`: its commands, and Miren's own spellings of them."""

import argparse

from controller.lease import LeaseState
from deploy.operate.arguments import FORMATS, add_common, add_name, add_output


def add_to(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to those of `disk`."""
    lease = verbs.add_parser(
        "lease", help="list, release and delete leases", description="Who has which disk."
    )
    inner = lease.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for commands, prefix in ((inner, ""), (verbs, "lease-")):
        _add_list(commands, f"{prefix}list")
        _add_status(commands, f"{prefix}status")
        _add_release(commands, f"{prefix}release")
        _add_delete(commands, f"{prefix}delete")


def _add_list(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str) -> None:
    parser = commands.add_parser(
        name, help="list who has which disk", description="List who has which disk, and who waits."
    )
    parser.add_argument("-d", "--disk", metavar="DISK", help="only this disk's")
    text = "only those that this pod has or waits for, with or without its namespace"
    parser.add_argument("-s", "--sandbox", metavar="POD", help=text)
    parser.add_argument("--status", choices=tuple(LeaseState), help="only those in this state")
    add_output(parser, FORMATS)
    add_common(parser, "lease_list:show")


def _add_status(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str) -> None:
    parser = commands.add_parser(
        name, help="show the lease of a disk", description="Show who has a disk, and who waits."
    )
    add_name(parser)
    add_output(parser)
    add_common(parser, "lease_list:status")


def _add_release(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str
) -> None:
    parser = commands.add_parser(
        name,
        help="take a disk from a holder that is gone",
        description="Take a disk from a holder that is gone, for the next one. The driver does so "
        "itself when the pod is deleted and the disk unmounted, or its node gone for good. While "
        "the pod exists, or the disk may be mounted, it is refused.",
    )
    add_name(parser)
    add_common(parser, "lease_changes:release")


def _add_delete(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str) -> None:
    parser = commands.add_parser(
        name,
        help="delete the record of a lease",
        description="Delete the record of who had a disk. One that is held is refused; with "
        "--force only while its holder exists.",
    )
    add_name(parser)
    parser.add_argument("--force", action="store_true", help="even if it is held")
    add_common(parser, "lease_changes:delete")
