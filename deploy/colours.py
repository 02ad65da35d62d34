"""Colours of states, for a terminal that shows them and a user who wants them."""

import os
from collections.abc import Mapping

_RED, _GREEN, _YELLOW = 31, 32, 33

_TONES = {
    **dict.fromkeys(("ok", "attached", "bound", "healthy"), _GREEN),
    **dict.fromkeys(("provisioning", "deleting", "pending", "filling"), _YELLOW),
    **dict.fromkeys(("error", "failed", "almost-full", "deleted"), _RED),
}
"""Of the words for states; others have no colour."""

_OUTPUT = 1


def wanted(environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Tell whether to colour, as https://no-color.org/ and terminfo(5)'s `dumb` have it."""
    return is_terminal and not is_dumb(environment) and not environment.get("NO_COLOR")


def is_dumb(environment: Mapping[str, str]) -> bool:
    """Tell whether a terminal does nothing but print."""
    return environment.get("TERM", "") in {"", "dumb"}


def on_output() -> bool:
    """Tell whether to colour what goes to standard output."""
    try:
        is_terminal = os.isatty(_OUTPUT)
    except OSError:  # closed
        return False
    return wanted(os.environ, is_terminal=is_terminal)


def painted(word: str) -> str:
    """Return the word for a state in its colour, on a terminal that shows it."""
    tone = _TONES.get(word)
    return f"\x1b[{tone}m{word}\x1b[0m" if tone and on_output() else word
