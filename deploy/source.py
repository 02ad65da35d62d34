"""Finding an app.toml and reading it as text, whatever the path turns out to be."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from deploy.problems import AppTomlError, Problem

APP_TOML = Path(".miren", "app.toml")
STANDARD_INPUT = "<stdin>"

_LARGEST = 1 << 20
_ASK_FOR_PATH = "give the path of an app.toml, or of a folder that holds .miren/app.toml"


@dataclass(frozen=True, slots=True)
class Source:
    r"""The text of an app.toml, its lines ended by \n, and the name to call it by in messages."""

    file: str
    text: str


def app_toml_at(path: Path) -> Path:
    """Return the path itself, or where an app in this folder has its app.toml."""
    try:
        is_folder = path.is_dir()
    except OSError:  # Reading the path will say what is wrong with it.
        return path
    if not is_folder:
        return path
    return path / (APP_TOML.name if path.name == APP_TOML.parent.name else APP_TOML)


def search_upwards(folder: Path | None = None) -> Path:
    """Return the first .miren/app.toml in this folder (the working directory) or above it.

    Raises:
        AppTomlError: there is none.
    """
    try:
        start = (folder or Path()).absolute()
    except OSError as error:
        problem = Problem(".", f"has been deleted: {error.strerror}", _ASK_FOR_PATH)
        raise AppTomlError([problem]) from None
    for candidate in (start, *start.parents):
        # A dangling or looping link counts: reading it says what is wrong, while passing it by
        # would silently take the file of another app.
        if os.path.lexists(candidate / APP_TOML):
            return candidate / APP_TOML
    what = "there is no .miren/app.toml here or in any folder above"
    raise AppTomlError([Problem(str(start), what, _ASK_FOR_PATH)])


def read(path: Path) -> Source:
    """Read a file.

    Raises:
        AppTomlError: it cannot be read, is larger than 1 MiB or is no UTF-8 text.
    """
    return decode(_read_content(lambda: path.open("rb"), str(path)), str(path))


def read_standard_input() -> bytes:
    """Return what standard input holds, or its first MiB and a byte.

    Raises:
        AppTomlError: it cannot be read.
    """
    # By number: sys.stdin is None where the shell has closed it.
    return _read_content(lambda: os.fdopen(0, "rb", closefd=False), STANDARD_INPUT)


def _read_content(opening: Callable[[], BinaryIO], file: str) -> bytes:
    try:
        with opening() as stream:
            return stream.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise AppTomlError([Problem(file, f"cannot be read: {reason}", _ASK_FOR_PATH)]) from None


def decode(content: bytes, file: str) -> Source:
    """Turn a file's content into text.

    Raises:
        AppTomlError: it is larger than 1 MiB or is no UTF-8 text.
    """
    if len(content) > _LARGEST:
        problem = Problem(
            file, "is larger than 1 MiB", "an app.toml is a short text: check the path"
        )
        raise AppTomlError([problem])
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise AppTomlError([Problem(file, "is UTF-16 text", "save it as UTF-8", line=1, column=1)])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        what = f"is not UTF-8 text (byte 0x{content[error.start]:02X})"
        raise _bad_character(file, before, what, "save it as UTF-8") from None
    # Editors on Windows begin a file with a byte order mark, which is no part of the text.
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if "\0" in text:
        before = text[: text.index("\0")]
        raise _bad_character(file, before, "contains a NUL character", "is it a text file at all?")
    return Source(file, text)


def _bad_character(file: str, before: str, what: str, instead: str) -> AppTomlError:
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return AppTomlError([Problem(file, what, instead, line=line, column=column)])
