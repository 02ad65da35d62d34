"""`kubectl miren pool`."""

import argparse

from deploy.operate.arguments import FORMATS, add_common, add_output
from deploy.operate.pool_verdict import PoolVerdict

_DESCRIPTION = """\
Show how full the pools are, and when they will be, as they grow now. A pool that is full lets
writes fail: one that is filling, or will be full within a day, is warned of on standard error."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of kubectl-miren."""
    parser = commands.add_parser(
        "pool", help="show how full the pools of disks are", description=_DESCRIPTION
    )
    add_output(parser, FORMATS)
    text = (
        f"for scripts: end with {PoolVerdict.FILLING} when a pool is filling or will be full "
        f"within a day, {PoolVerdict.ALMOST_FULL} when one is almost full, "
        f"{PoolVerdict.UNKNOWN} when a node does not tell"
    )
    parser.add_argument("--check", action="store_true", help=text)
    add_common(parser, "pools:pools")
