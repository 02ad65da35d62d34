"""The command `kubectl-miren`, which kubectl runs as `kubectl miren`."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from csi import COORDINATOR_LABEL, __version__
from deploy import app_argument, validate_command
from deploy.console import say, write
from deploy.disks import translate_disks
from deploy.output import to_json, to_yaml
from deploy.parse import parse
from deploy.problems import AppTomlError

_DESCRIPTION = "Bring Miren apps, described in app.toml, to Kubernetes."
_TRANSLATE_DESCRIPTION = """\
Print the Kubernetes manifests of an app, ready for `kubectl apply -f -`.

With --only disks these are a PersistentVolume and a PersistentVolumeClaim for each of the app's
disks. They go to standard output; warnings and mistakes in the app.toml go to standard error."""
_TRANSLATE_EXAMPLES = """\
examples:
  kubectl miren translate --only disks | kubectl apply -f -
  kubectl miren translate shop/ --only disks --namespace shop --node server-1
  kubectl miren translate - --only disks -o json < app.toml

exit status: 0 manifests printed, 1 they could not be written, 2 the app.toml or the command line
is wrong."""
_NOT_YET = (
    "only disks can be translated so far, all of an app comes in a later version: add --only disks"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except AppTomlError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubectl-miren", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"kubectl-miren {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    translate = commands.add_parser(
        "translate",
        help="print the Kubernetes manifests of an app",
        description=_TRANSLATE_DESCRIPTION,
        epilog=_TRANSLATE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    translate.set_defaults(command=_translate)
    app_argument.add_to(translate)
    translate.add_argument("--only", choices=["disks"], help="print only this part of the app")
    translate.add_argument(
        "-n",
        "--namespace",
        metavar="NAME",
        default="default",
        help="the namespace of the claims (default: %(default)s)",
    )
    translate.add_argument(
        "--node",
        metavar="NAME",
        help="the node that has the disks "
        f"(default: the one with the label {COORDINATOR_LABEL}=true)",
    )
    translate.add_argument(
        "-o",
        "--output",
        choices=["yaml", "json"],
        default="yaml",
        help="the format of the manifests (default: %(default)s)",
    )
    validate_command.add_to(commands)
    return parser


def _translate(options: argparse.Namespace) -> int:
    if options.only is None:
        say(f"kubectl-miren: {_NOT_YET}")
        return 2
    given = app_argument.find(options.path)
    config = parse(given.content, given.file)
    for warning in config.warnings:
        say(f"warning: {warning}")
    try:
        manifests = translate_disks(config, namespace=options.namespace, node=options.node)
    except ValueError as error:
        say(f"kubectl-miren: {error}")
        return 2
    if not manifests:
        say(f"the app {config.name} has no disks")
    text = to_json(manifests) if options.output == "json" else to_yaml(manifests)
    return write(text, "the manifests")


if __name__ == "__main__":
    sys.exit(main())
