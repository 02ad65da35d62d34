"""The command `kubectl-miren`, which kubectl runs as `kubectl miren`."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from csi import __version__
from deploy import deploy_command, translate_command, validate_command
from deploy.console import say
from deploy.operate import disk_command, pool_command
from deploy.operate.short_forms import spelled_out
from deploy.problems import AppTomlError

_COMMANDS = (translate_command, validate_command, deploy_command, disk_command, pool_command)
_DESCRIPTION = "Bring Miren apps, described in app.toml, to Kubernetes."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(spelled_out(words))
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except AppTomlError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    made = argparse.ArgumentParser(prog="kubectl-miren", description=_DESCRIPTION)
    made.add_argument("--version", action="version", version=f"kubectl-miren {__version__}")
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add_to(commands)
    return made


if __name__ == "__main__":
    sys.exit(main())
