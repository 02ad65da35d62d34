"""The command `kubectl-miren`, which kubectl runs as `kubectl miren`."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from csi import COORDINATOR_LABEL, __version__
from deploy import source
from deploy.disks import translate_disks
from deploy.model import AppConfig
from deploy.output import to_json, to_yaml
from deploy.parse import parse
from deploy.problems import AppTomlError

# Its number, not sys.stdout, which is None where the shell has closed it.
_STANDARD_OUTPUT = 1

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
        _say(str(error))
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
    translate.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="an app.toml, a folder that holds .miren/app.toml, or - for standard input "
        "(default: the nearest .miren/app.toml, searched upwards from here)",
    )
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
    return parser


def _translate(options: argparse.Namespace) -> int:
    if options.only is None:
        _say(f"kubectl-miren: {_NOT_YET}")
        return 2
    config = _read_app(options.path)
    for warning in config.warnings:
        _say(f"warning: {warning}")
    try:
        manifests = translate_disks(config, namespace=options.namespace, node=options.node)
    except ValueError as error:
        _say(f"kubectl-miren: {error}")
        return 2
    if not manifests:
        _say(f"the app {config.name} has no disks")
    return _write(to_json(manifests) if options.output == "json" else to_yaml(manifests))


def _read_app(path: str | None) -> AppConfig:
    if path == "-":
        return parse(source.read_standard_input(), source.STANDARD_INPUT)
    if path is None:
        return parse(source.search_upwards())
    return parse(source.app_toml_at(Path(path)))


def _write(text: str) -> int:
    """Write to standard output, which may be full, closed, or a pipe that nobody reads any more."""
    try:
        with os.fdopen(_STANDARD_OUTPUT, "w", encoding="utf-8", closefd=False) as output:
            output.write(text)
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except OSError as error:
        _say(f"kubectl-miren: the manifests could not be written: {error.strerror}")
        return 1
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
