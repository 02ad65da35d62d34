"""`kubectl miren disk schedule`: its commands."""

import argparse

from deploy.operate import retention
from deploy.operate.arguments import add_common, add_output, add_yes
from deploy.operate.backup_command import REPOSITORY, add_changed_blocks, add_hooks, add_secret

_DESCRIPTION = """\
Back up disks again and again, by CronJobs in the driver's namespace that run `disk backup`.

`disk schedule DISK --cron …` is short for `disk schedule create DISK --cron …`."""


def add_to(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of `disk`."""
    schedule = verbs.add_parser(
        "schedule",
        help="back up disks again and again",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = schedule.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_create(inner)
    _add_list(inner)
    _add_delete(inner)


def _add_create(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "create",
        help="have a disk backed up again and again",
        description="Have a disk backed up again and again; done anew, it changes how.",
    )
    parser.add_argument("name", metavar="DISK", help="the disk's name")
    parser.add_argument(
        "--cron", metavar="SCHEDULE", required=True, help='when, as cron has it: "0 3 * * *"'
    )
    parser.add_argument(
        "--time-zone",
        metavar="ZONE",
        default="Etc/UTC",
        help="of SCHEDULE, such as Europe/Berlin (default: %(default)s)",
    )
    parser.add_argument("--to", metavar=REPOSITORY, required=True, help="where the backups go")
    add_secret(parser, required=True)
    add_changed_blocks(parser)
    add_hooks(parser)
    retention.add_to(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be made, and make nothing"
    )
    parser.add_argument(
        "-o", "--output", choices=("yaml", "json"), default="yaml", help="its form with --dry-run"
    )
    add_common(parser, "schedules:create")


def _add_list(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "list", help="list schedules", description="List which disks are backed up when."
    )
    add_output(parser)
    add_common(parser, "schedules:show")


def _add_delete(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "delete",
        help="end a schedule",
        description="End the schedule of a disk. Its backups stay.",
    )
    parser.add_argument("name", metavar="DISK", help="the disk's name")
    add_yes(parser)
    add_common(parser, "schedules:delete")
