"""How a command for disks is run, and ends."""

import argparse
import sys
from collections.abc import Callable

from csi.errors import DiskError, InvalidRequest
from csi.kubernetes_api import Conflict, KubernetesApi
from deploy import console
from deploy.operate.disk_cluster import DiskCluster

Action = Callable[[DiskCluster, argparse.Namespace], str]
"""Does what was asked for and returns what to print. May raise DiskError, Conflict."""


def run(action: Action, arguments: argparse.Namespace) -> int:
    """Do what was asked for; return the exit status."""
    if "flagged" in arguments:
        given = {arguments.name, arguments.flagged} - {None}
        if len(given) != 1:
            console.say("kubectl-miren: name exactly one; see --help")
            return 2
        (arguments.name,) = given
    try:
        cluster = DiskCluster(KubernetesApi(arguments.context), arguments.driver_namespace)
        return console.write(action(cluster, arguments), "the result")
    except InvalidRequest as error:
        console.say(f"kubectl-miren: {error}")
        return 2
    except (DiskError, Conflict) as error:
        console.say(f"kubectl-miren: {error}")
        return 1


def confirmed(question: str, arguments: argparse.Namespace) -> bool:
    """Ask on the terminal, unless --yes says it; raises InvalidRequest where nobody can answer."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidRequest("nobody can be asked here; --yes says that you are sure")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
