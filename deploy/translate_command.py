"""`kubectl miren translate`: the manifests of an app, for kubectl or for a repository."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from csi.persistent_volume import Manifest
from deploy import app_argument, app_options, console, given_app
from deploy.disks import translate_disks
from deploy.folder_output import write_folder
from deploy.model import AppConfig
from deploy.options import DEFAULTS, Options
from deploy.output import to_json, to_yaml
from deploy.translation import translate, translate_services

_DESCRIPTION = """\
Print the Kubernetes manifests of an app, ready for `kubectl apply -f -`.

Each disk becomes a PersistentVolume and a PersistentVolumeClaim, each service a Deployment, a
Service, a Secret with its environment and, if it scales, a HorizontalPodAutoscaler. They go to
standard output; warnings and mistakes in the app.toml go to standard error. docs/app-toml.md tells
what each key becomes."""
_EPILOG = """\
examples:
  kubectl miren translate --image registry.example/shop:7 | kubectl apply -f -
  kubectl miren translate shop/ --only disks --namespace shop --node server-1
  kubectl miren translate --image shop:7 --set LOG_LEVEL=debug -o dir:manifests/
  kubectl miren translate - --image shop:7 -o json < app.toml

exit status: 0 manifests printed, 1 they could not be written, 2 the app.toml or the command line
is wrong."""
_FOLDER = "dir:"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of kubectl-miren."""
    parser = commands.add_parser(
        "translate",
        help="print the Kubernetes manifests of an app",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=_translate)
    app_argument.add_to(parser)
    app_options.add_to(parser)
    parser.add_argument(
        "--only", choices=["disks", "services"], help="print only this part of the app"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="yaml|json|dir:PATH",
        type=_output,
        default="yaml",
        help="the format of the manifests, or a folder to write them into, with a "
        "kustomization.yaml (default: %(default)s)",
    )


def _output(text: str) -> str:
    if text in {"yaml", "json"} or (text.startswith(_FOLDER) and text != _FOLDER):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is none of yaml, json, dir:PATH")


def _translate(arguments: argparse.Namespace) -> int:
    try:
        config, options = given_app.read(arguments, DEFAULTS.namespace)
        manifests = _manifests(config, options, arguments.only)
        return _write(manifests, arguments.output)
    except ValueError as error:
        console.say(f"kubectl-miren: {error}")
        return 2


def _manifests(config: AppConfig, options: Options, only: str | None) -> list[Manifest]:
    if only != "disks":
        return (translate_services if only else translate)(config, options)
    manifests = translate_disks(config, options)
    if not manifests:
        console.say(f"the app {config.name} has no disks")
    return manifests


def _write(manifests: Sequence[Manifest], output: str) -> int:
    if output.startswith(_FOLDER):
        folder = Path(output.removeprefix(_FOLDER))
        try:
            write_folder(folder, manifests)
        except OSError as error:
            console.say(f"kubectl-miren: {folder} could not be written: {error.strerror}")
            return 1
        return 0
    text = to_json(manifests) if output == "json" else to_yaml(manifests)
    return console.write(text, "the manifests")
