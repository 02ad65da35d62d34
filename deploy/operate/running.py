"""How a command for disks is run, and ends."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from csi.errors import DiskError, InvalidRequest
from csi.kubernetes_api import Conflict, KubernetesApi
from deploy import console
from deploy.operate.disk_cluster import DiskCluster


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to print, and an exit status that says more than that it could be done."""

    text: str
    status: int


Action = Callable[[DiskCluster, argparse.Namespace], "str | Verdict | Iterator[str]"]
"""Does what was asked for and returns what to print, or yields it bit by bit, without an end.

May raise DiskError, Conflict, also while it yields.
"""


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
        return _print(action(cluster, arguments))
    except InvalidRequest as error:
        console.say(f"kubectl-miren: {error}")
        return 2
    except (DiskError, Conflict) as error:
        console.say(f"kubectl-miren: {error}")
        return 1


def interruptible() -> None:
    """Have SIGTERM end a command as Ctrl-C does, so that it takes away what it has made."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _print(told: str | Verdict | Iterator[str]) -> int:
    """Print what an action has to say; return the exit status."""
    if isinstance(told, Verdict):
        return console.write(told.text, "the result") or told.status
    pieces = iter([told]) if isinstance(told, str) else told
    status = 0
    while status == 0 and (piece := next(pieces, None)) is not None:
        status = console.write(piece, "the result")
    return status


def confirmed(question: str, arguments: argparse.Namespace) -> bool:
    """Ask on the terminal, unless --yes says it; raises InvalidRequest where nobody can answer."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidRequest("nobody can be asked here; --yes says that you are sure")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
