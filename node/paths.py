"""The paths that an orchestrator gives: checked, made where the plugin has to, removed again."""

import errno
import stat
from pathlib import Path

from csi.errors import InvalidRequest, Refused


def parse(field: str, text: str) -> Path:
    """Return a path of a request.

    Args:
        field: the request's field, for the error.
        text: its value.

    Raises:
        InvalidRequest: it is not absolute, or leads upwards, or is the root.
    """
    if not text.startswith("/"):
        raise InvalidRequest(f"{field} must be an absolute path, not {text!r}")
    # pathlib keeps two leading slashes, which POSIX lets mean something; the mount table does not.
    path = Path("/", text.lstrip("/"))
    if ".." in path.parts:
        raise InvalidRequest(f'{field} must not contain "..": {text!r}')
    if path == Path("/"):
        raise InvalidRequest(f"{field} must not be the root folder")
    return path


def make_directory(field: str, path: Path, *, empty: bool = False) -> None:
    """Make sure that a directory is there to mount on; its parent has to be.

    Args:
        field: the request's field, for the error.
        path: the directory.
        empty: whether one that has something in it is refused, since a mount would hide that.

    Raises:
        InvalidRequest: it is something else than a directory, or its parent is missing.
        Refused: it is not empty.
    """
    mode = _mode(field, path)
    if mode is None:
        _made(field, path, directory=True)
    elif not stat.S_ISDIR(mode):
        raise InvalidRequest(f"{field} {path} is {_kind(mode)}, but must be a folder")
    elif empty and any(path.iterdir()):
        raise Refused(f"{field} {path} is not empty: mounting there would hide what is in it")


def make_file(field: str, path: Path) -> None:
    """Make sure that an empty file is there to bind a device on; its parent has to be.

    Raises InvalidRequest if it is something else, or its parent is missing.
    """
    mode = _mode(field, path)
    if mode is None:
        _made(field, path, directory=False)
    elif not stat.S_ISREG(mode):
        raise InvalidRequest(f"{field} {path} is {_kind(mode)}, but must be an empty file")
    elif path.stat().st_size:
        raise InvalidRequest(f"{field} {path} is a file with content, but must be an empty file")


def remove(field: str, path: Path) -> bool:
    """Remove an empty directory or file that is no mount point; return whether it was there.

    Raises:
        InvalidRequest: it is neither a directory nor a regular file.
        Refused: it is not empty; nothing in it is touched.
    """
    mode = _mode(field, path)
    if mode is None:
        return False
    if stat.S_ISREG(mode) and path.stat().st_size == 0:
        path.unlink()
    elif stat.S_ISDIR(mode):
        try:
            path.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise Refused(f"{field} {path} cannot be removed: {error.strerror}") from error
            raise Refused(f"{field} {path} is not empty, so it is left as it is") from error
    else:
        raise InvalidRequest(f"{field} {path} is {_kind(mode)}, which this driver did not make")
    return True


def _mode(field: str, path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidRequest(f"{field} {path} cannot be used: {error.strerror}") from error


def _made(field: str, path: Path, *, directory: bool) -> None:
    try:
        if directory:
            path.mkdir(0o750)
        else:
            path.touch(0o600)
    except FileNotFoundError:
        raise InvalidRequest(f"{field} {path}: the folder {path.parent} does not exist") from None
    except OSError as error:
        raise Refused(f"{field} {path} cannot be made: {error.strerror}") from error


def _kind(mode: int) -> str:
    kinds = {stat.S_ISLNK: "a symbolic link", stat.S_ISDIR: "a folder", stat.S_ISBLK: "a device"}
    names = (name for test, name in kinds.items() if test(mode))
    return next(names, "a file with content" if stat.S_ISREG(mode) else "something special")
