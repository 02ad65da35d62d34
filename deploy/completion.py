"""`kubectl_complete-miren`: what a shell may complete in `kubectl miren …`.

kubectl's own completion, in bash, zsh and fish, asks the program of this name; the words so far are
its arguments, the unfinished one last:
https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/ ("Shell completion").
"""

# ruff: noqa: SLF001 - argparse has no other way to say what a parser takes.

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence

from csi.errors import DiskError
from deploy.main import parser
from deploy.operate.short_forms import may_be_left_out, spelled_out

_NO_FILES = ":4"
_FILES = ":0"
# What these arguments name, the cluster knows.
_DISKS = {"DISK"}
_PATHS = {"PATH", "FILE|REPO"}
Names = Callable[[], list[str]]


def main(words: Sequence[str] | None = None) -> int:
    """Print the candidates, one in each line with what it is for, and whether files are some."""
    candidates, last = complete(sys.argv[1:] if words is None else words, _disks)
    for word, text in candidates:
        print(f"{word}\t{text}" if text else word)
    print(last)
    return 0


def complete(words: Sequence[str], disks: Names) -> tuple[list[tuple[str, str]], str]:
    """Return the candidates for the last word, and the directive that kubectl wants.

    Args: words: the unfinished one last; disks: says which disks there are.
    """
    *before, begun = words or [""]
    at = _walk(spelled_out(before))
    previous = before[-1] if before else ""
    found = [*_candidates(at, previous, begun, disks)]
    if may_be_left_out(before):
        found += [(name, "") for name in disks()]
    option = _option(at, previous)
    wanted = [option] if option is not None else _positional(at)
    wants_file = any(_name(action) in _PATHS for action in wanted)
    fitting = [(word, text) for word, text in found if word.startswith(begun)]
    return fitting, _FILES if wants_file and not fitting else _NO_FILES


def _walk(words: Sequence[str]) -> argparse.ArgumentParser:
    at = parser()
    for word in words:
        commands = _commands(at)
        if word in commands:
            at = commands[word]
    return at


def _candidates(
    at: argparse.ArgumentParser, previous: str, begun: str, disks: Names
) -> Iterator[tuple[str, str]]:
    option = _option(at, previous)
    if option is not None:
        yield from ((str(choice), "") for choice in option.choices or ())
        if _name(option) in _DISKS:
            yield from ((name, "") for name in disks())
    elif begun.startswith("-"):
        for one in at._actions:
            yield from ((word, _first(one.help)) for word in one.option_strings)
    elif _commands(at):
        yield from _commands_told(at)
    elif any(_name(action) in _DISKS for action in _positional(at)):
        yield from ((name, "") for name in disks())


def _option(at: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    """Return the option of which the next word is the value, None if the word is no such."""
    return next((one for one in at._actions if word in one.option_strings and one.nargs != 0), None)


def _commands(at: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in at._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _commands_told(at: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in at._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from ((one.dest, _first(one.help)) for one in action._choices_actions)


def _positional(at: argparse.ArgumentParser) -> list[argparse.Action]:
    return [one for one in at._actions if not one.option_strings]


def _name(action: argparse.Action) -> str:
    return action.metavar if isinstance(action.metavar, str) else ""


def _first(text: str | None) -> str:
    return (text or "").partition(";")[0].partition(" (default")[0]


def _disks() -> list[str]:
    """Return all disks; none, in silence, when the cluster does not answer."""
    from controller import workloads
    from csi.kubernetes_api import KubernetesApi
    from deploy.operate.disk_cluster import VOLUMES

    try:
        volumes = map(workloads.volume_of, KubernetesApi().list(VOLUMES))
        return sorted(volume.disk for volume in volumes if volume)
    except DiskError:
        return []
