"""What the commands print, on streams that may be full, closed, or read by nobody any more."""

import os
import signal
import sys

# Its number, not sys.stdout, which is None where the shell has closed it.
_STANDARD_OUTPUT = 1


def write(text: str, called: str) -> int:
    """Write to standard output; return the exit status that tells how that went.

    A failure is told on standard error, where the text is `called` so: "the manifests".
    """
    try:
        with os.fdopen(_STANDARD_OUTPUT, "w", encoding="utf-8", closefd=False) as output:
            output.write(text)
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except OSError as error:
        say(f"kubectl-miren: {called} could not be written: {error.strerror}")
        return 1
    return 0


def say(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr)
