"""The app that a command is given, and where and with what it is to run."""

import argparse

from deploy import app_argument, app_options, console
from deploy.given_environment import with_given
from deploy.model import AppConfig
from deploy.options import Options
from deploy.parsing import parse


def read(arguments: argparse.Namespace, namespace: str) -> tuple[AppConfig, Options]:
    """Return the app and the options, and tell on standard error what its author should know.

    `namespace` is meant by none.

    Raises:
        AppTomlError: the app.toml, or the file of --env-file, cannot be used.
        ValueError: an option makes no sense.
    """
    given = app_argument.find(arguments.path)
    config = parse(given.content, given.file)
    options = app_options.read(arguments, namespace)
    config = with_given(config, options.environment)
    for warning in config.warnings:
        console.say(f"warning: {warning}")
    return config, options
