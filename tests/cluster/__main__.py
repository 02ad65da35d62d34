"""A cluster to work with by hand: `python -m tests.cluster up`, then `... kubectl get nodes`."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import supervisor
from tests.cluster.cluster import Pool
from tests.cluster.kubectl import Kubectl
from tests.cluster.node import run_job
from tests.cluster.supervisor import NotDone

# What stands behind these is not for our parser.
_PASSING = {
    "kubectl": "kubectl as admin, with all the words that follow",
    "run": "run a command on a node: run NODE COMMAND",
}
_SIMPLE = {
    "add": "boot one more node",
    "load": "bring images (archives; by default the driver's, built anew) to all nodes",
    "snapshots": "install the snapshot CRDs and snapshot-controller",
    "cut": "cut the power of a node that is a VM",
    "boot": "switch a node on again",
    "stop-api-server": "kill the API server",
    "start-api-server": "start it again",
}


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; returns the exit status."""
    cut = next((at for at, word in enumerate(arguments, 1) if word in _PASSING), len(arguments))
    options = _parser().parse_args(arguments[:cut])
    folder: Path = options.folder
    rest = arguments[cut:]
    try:
        match options.verb:
            case "up":
                began = time.monotonic()
                supervisor.start(folder, options.pool, options.nodes, driver=options.driver)
                print(f"the cluster is ready after {time.monotonic() - began:.0f} s, in {folder}")
            case "down":
                supervisor.stop(folder)
            case "kubectl":
                return _kubectl(folder, rest)
            case "run":
                return _run(folder, rest)
            case verb:
                print(supervisor.ask(folder, verb, *options.words))
    except NotDone as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _kubectl(folder: Path, words: Sequence[str]) -> int:
    if not (folder / "network").exists():
        raise NotDone(f"no cluster runs in {folder}")
    kubeconfig = folder / "pki" / "admin.kubeconfig"
    command = Kubectl(supervisor.starter(folder), kubeconfig).command(*words)
    os.execvp(command[0], command)


def _run(folder: Path, words: Sequence[str]) -> int:
    share = folder / words[0] / "share" if words else folder
    if not (share / "jobs").exists():
        raise NotDone("run NODE COMMAND: no such node is on")
    outcome = run_job(share, " ".join(words[1:]), within=3600)
    print(outcome.console, end="")
    return outcome.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    default = Path(tempfile.gettempdir()) / "miren-csi-cluster"
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(os.environ.get("MIREN_CSI_CLUSTER") or default),
        help="where the cluster lives (default: $MIREN_CSI_CLUSTER, or %(default)s)",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start a cluster")
    up.add_argument("--nodes", type=int, default=1, metavar="N")
    up.add_argument(
        "--pool",
        type=Pool,
        choices=[*Pool],
        default=Pool.LOOP,
        help="its nodes are VMs with a thin pool (lvm), or containers (loop, the default)",
    )
    up.add_argument("--driver", action="store_true", help="with the driver's image")
    verbs.add_parser("down", help="end it and remove all of it")
    for verb, meaning in _PASSING.items():
        verbs.add_parser(verb, help=meaning)
    for verb, meaning in _SIMPLE.items():
        verbs.add_parser(verb, help=meaning).add_argument("words", nargs="*")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
