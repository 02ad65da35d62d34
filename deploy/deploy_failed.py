"""The way in which what was asked of a cluster does not happen."""


class DeployFailed(Exception):
    """An app does not run, or does not end; the text says which, and why, with last log lines."""
