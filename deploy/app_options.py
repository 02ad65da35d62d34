"""The options by which commands are told where an app runs, and with what."""

import argparse
from pathlib import Path

from csi import COORDINATOR_LABEL
from csi.persistent_volume import COORDINATOR, Pin
from deploy import env_file
from deploy.options import Options


def add_to(parser: argparse.ArgumentParser, namespace: str = "default") -> None:
    """Let a command take them; `namespace` says what is meant by none."""
    parser.add_argument(
        "--image", metavar="NAME", help="the app's built image, for services that name none"
    )
    parser.add_argument(
        "-n",
        "--namespace",
        metavar="NAME",
        help=f"the namespace of the app (default: {namespace})",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--node",
        metavar="NAME",
        help="the node that has the disks, if it is not the coordinator",
    )
    where.add_argument(
        "--coordinator-label",
        metavar="KEY=VALUE",
        help=f"the label of the node that has the disks (default: {COORDINATOR_LABEL}=true)",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a variable for all services, whatever app.toml says; may be repeated",
    )
    parser.add_argument(
        "--env-file",
        metavar="FILE",
        type=Path,
        help="a file with a KEY=VALUE in each line, as --set, which wins over it",
    )


def read(arguments: argparse.Namespace, namespace: str) -> Options:
    """Return what was chosen; `namespace` is meant by none.

    Raises:
        ValueError: a choice makes no sense.
        AppTomlError: the file of --env-file is wrong.
    """
    from_file = env_file.read(arguments.env_file) if arguments.env_file else {}
    settings = dict(env_file.parse_setting(text) for text in arguments.set)
    return Options(
        namespace=namespace if arguments.namespace is None else arguments.namespace,
        image=arguments.image,
        pin=_pin(arguments),
        environment={**from_file, **settings},
    )


def _pin(arguments: argparse.Namespace) -> Pin:
    if arguments.node is not None:
        return Pin.to_node(arguments.node)
    if arguments.coordinator_label is None:
        return COORDINATOR
    key, equals, value = arguments.coordinator_label.partition("=")
    if not (key and equals):
        raise ValueError(f'"{arguments.coordinator_label}" is no label: write KEY=VALUE')
    return Pin(key, value)
