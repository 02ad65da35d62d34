"""Command lines that leave out `create`: `disk backup NAME` is `disk backup create NAME`."""

from collections.abc import Mapping, Sequence

_CREATE = "create"
_VERBS: Mapping[str, frozenset[str]] = {
    "backup": frozenset({_CREATE, "list", "verify", "prune"}),
    "schedule": frozenset({_CREATE, "list", "delete"}),
}
_HELP = {"-h", "--help"}


def spelled_out(words: Sequence[str]) -> list[str]:
    """Return the words with what they leave out.

    A disk that is called like a command needs the long form.
    """
    if len(words) < 3 or words[0] != "disk" or words[1] not in _VERBS:
        return [*words]
    if words[2] in _VERBS[words[1]] | _HELP:
        return [*words]
    return [*words[:2], _CREATE, *words[2:]]


def may_be_left_out(words: Sequence[str]) -> bool:
    """Tell whether a disk's name may come next, as if these words had `create` behind them."""
    return len(words) == 2 and words[0] == "disk" and words[1] in _VERBS
