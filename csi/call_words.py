"""What `miren-csi call` is told on the command line."""

import argparse

COMMAND = "call"
SOCKET = "unix:///csi/csi.sock"
"""The controller's, in the manifests."""

_DESCRIPTION = """\
Make one CSI call and print the answer as JSON; a stream's has all its messages, as `messages`. A
call that fails prints its code and message as JSON too, and the exit status is 1."""
_EPILOG = """\
example:
  miren-csi call ControllerGetVolume '{"volume_id": "shop-data"}'
"""
_LONGEST = 150.0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words behind `call`."""
    made = argparse.ArgumentParser(
        prog=f"miren-csi {COMMAND}",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("method", metavar="METHOD", help="its name, such as CreateVolume")
    made.add_argument(
        "request", metavar="REQUEST", nargs="?", default="{}", help="the request as JSON"
    )
    made.add_argument(
        "--endpoint", metavar="unix:///PATH", default=SOCKET, help="default: %(default)s"
    )
    made.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=_LONGEST,
        help="how long the call may take (default: %(default)g)",
    )
    return made
