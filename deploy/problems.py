"""What is wrong in an app.toml, said so that its author can put it right at once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from deploy.positions import KeyPath, Position

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, or one piece of advice: where it is, what is wrong, what to write instead.

    `line` and `column` count from 1 and are None where the place is not known, as for a file
    that cannot be read. `key` is a path such as `services.db.disks[0].size_gb`, or empty.
    """

    file: str
    what: str
    instead: str
    key: str = ""
    line: int | None = None
    column: int | None = None

    @property
    def place(self) -> tuple[int, int]:
        """What problems of one file are sorted by; what has no place comes first."""
        return (self.line or 0, self.column or 0)

    def __str__(self) -> str:
        place = shown_file(self.file)
        if self.line is not None:
            place += f":{self.line}:{self.column}"
        key = f"{self.key}: " if self.key else ""
        return f"{place}: {key}{self.what}; {self.instead}"


class AppTomlError(Exception):
    """An app.toml that cannot be used.

    `problems` holds everything that is wrong with it, `warnings` what would be worth knowing if
    it were right.
    """

    def __init__(self, problems: Iterable[Problem], warnings: Iterable[Problem] = ()) -> None:
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(slots=True)
class Findings:
    """Collects errors and warnings while one file is read, each with its place in the file."""

    file: str
    positions: dict[KeyPath, Position]
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, path: KeyPath, what: str, instead: str) -> None:
        """Note a mistake that makes the file unusable."""
        self.errors.append(self._problem(path, what, instead))

    def warn(self, path: KeyPath, what: str, instead: str) -> None:
        """Note advice: the file is used as it is."""
        self.warnings.append(self._problem(path, what, instead))

    def line_of(self, path: KeyPath) -> str:
        """Return ` (line 12)` for a key whose place is known, else nothing."""
        position = self.positions.get(path)
        return f" (line {position.line})" if position else ""

    def _problem(self, path: KeyPath, what: str, instead: str) -> Problem:
        # A key that is missing has no place of its own: its table's is the nearest.
        for length in range(len(path), 0, -1):
            position = self.positions.get(path[:length])
            if position:
                return Problem(
                    self.file, what, instead, shown_path(path), position.line, position.column
                )
        return Problem(self.file, what, instead, shown_path(path))


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort by line and column; what has no place comes first."""
    return sorted(problems, key=lambda problem: problem.place)


def shown_file(file: str) -> str:
    """Write a file's name so that a terminal shows it and obeys nothing in it."""
    return file if file.isprintable() else quoted(file)


def shown_path(path: KeyPath) -> str:
    """Write a key path as TOML would: `services."my db".disks[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _BARE_KEY.fullmatch(step) else quoted(step)
            text += f".{name}" if text else name
    return text


def quoted(text: str) -> str:
    r"""Write text as a TOML string on one line, shortened, with nothing a terminal would obey.

    A file's content reaches the terminal through error messages: escape sequences and characters
    that reorder text must not.
    """
    cut = text[:_LONGEST_QUOTE]
    ending = "…" if len(text) > _LONGEST_QUOTE else ""
    escaped = cut.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return (
        '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + ending + '"'
    )
