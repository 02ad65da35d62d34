"""`kubectl miren pool`."""

import argparse

from deploy.operate.arguments import add_common, add_output

_DESCRIPTION = """\
Show how full the pools are. A pool that is full lets writes fail: one that is filling is warned of
on standard error."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of kubectl-miren."""
    parser = commands.add_parser(
        "pool", help="show how full the pools of disks are", description=_DESCRIPTION
    )
    add_output(parser)
    add_common(parser, "pools:pools")
