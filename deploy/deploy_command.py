"""`kubectl miren deploy` and `kubectl miren undeploy`: an app into a cluster, and out of it."""

import argparse

from deploy import app_argument, app_options

_DEPLOY_DESCRIPTION = """\
Bring an app to the cluster of the current kubeconfig context, and wait until it runs.

What app.toml does not have any more is removed, except disks: those are never removed. A command
in post_import runs first, once for each image."""
_DEPLOY_EPILOG = """\
examples:
  kubectl miren deploy --image registry.example/shop:7
  kubectl miren deploy shop/ --image shop:8 --dry-run
  kubectl miren deploy --image shop:8 -o json | jq -r '.services[].address'

-o json prints one object, also when the app does not run; what happens meanwhile and warnings stay
on standard error:
  app        the app's name
  namespace  where it is
  running    true or false
  error      why it does not run; null when it does
  services   a list in the order of their names, each an object:
    name             as in app.toml
    address          its host name in the cluster, with its port if it has one
    ready            true or false
    ready_instances  how many of its instances are ready
    reason           what keeps it from being ready; null when it is, or was not looked at
    log              the last lines of what failed
  disks      a list, each an object:
    name      as in app.toml
    provider  miren or local
    volume    what its PersistentVolume and its claim are called
    services  the names of those that mount it

exit status: 0 the app runs (or would change so), 1 it does not, 2 the app.toml or the command line
is wrong."""
_UNDEPLOY_DESCRIPTION = """\
Remove an app from the cluster: all of it but its disks, which are named at the end. The next app
that names such a disk, this one again or another, finds its data."""
_NAMESPACE = "that of the kubeconfig context"
_WITHIN = 1800.0


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to those of kubectl-miren."""
    deploy = commands.add_parser(
        "deploy",
        help="bring an app to the cluster and wait until it runs",
        description=_DEPLOY_DESCRIPTION,
        epilog=_DEPLOY_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    deploy.set_defaults(command=_deploy)
    app_argument.add_to(deploy)
    app_options.add_to(deploy, _NAMESPACE)
    result = deploy.add_mutually_exclusive_group()
    result.add_argument(
        "--dry-run", action="store_true", help="print what would change, and change nothing"
    )
    result.add_argument(
        "-o",
        "--output",
        choices=["text", "json"],
        default="text",
        help="the format of the result (default: %(default)s)",
    )
    undeploy = commands.add_parser(
        "undeploy",
        help="remove an app but its disks",
        description=_UNDEPLOY_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    undeploy.set_defaults(command=_undeploy)
    undeploy.add_argument("app", metavar="APP", help="the app's name, as in its app.toml")
    undeploy.add_argument(
        "-n", "--namespace", metavar="NAME", help=f"the app's namespace (default: {_NAMESPACE})"
    )
    for parser in (deploy, undeploy):
        parser.add_argument("--context", metavar="NAME", help="the kubeconfig context to use")
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=float,
            default=_WITHIN,
            help="how long to wait (default: %(default)g)",
        )


def _deploy(arguments: argparse.Namespace) -> int:
    # Its imports take a second, which other commands need not wait for.
    from deploy import live_commands

    return live_commands.deploy(arguments)


def _undeploy(arguments: argparse.Namespace) -> int:
    from deploy import live_commands

    return live_commands.undeploy(arguments)
