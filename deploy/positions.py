"""Where each key of a TOML text stands, which tomllib does not tell.

A scanner, not a parser: it trusts tomllib to refuse what is wrong and stops quietly at the first
thing that it does not understand. It reads before tomllib does, so that nesting too deep for a
recursive parser is refused with its place. TOML v1.0.0 gives the grammar.
"""

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]

_DEEPEST = 32

_BLANKS = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    # Three quotes that nothing closes are no empty text.
    r'|(?!""")"(?:\\.|[^"\\\n])*"'
    r"|(?!''')'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^\s,\[\]{}#\"'][^,\]}#\n]*")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; line and column count from 1, a column is one character."""

    line: int
    column: int


class TooDeeplyNestedError(Exception):
    """Tables and arrays are nested deeper than any app.toml needs."""

    def __init__(self, position: Position) -> None:
        self.position = position
        super().__init__(f"nested more than {_DEEPEST} deep")


class _NotUnderstoodError(Exception):
    """From here on the text is no TOML; tomllib will say why."""


def find_positions(text: str) -> dict[KeyPath, Position]:
    r"""Return the place of each table header, key and array element, by its path.

    Lines end with \n in `text`. Of a text that is not TOML, what comes before the mistake is
    found. A table has the place of its own header, or else of the first key that mentions it.

    Raises:
        TooDeeplyNestedError: more than 32 levels, with the place.
    """
    scanner = _Scanner(text)
    with suppress(_NotUnderstoodError):
        scanner.document()
    return {path: scanner.position(offset) for path, offset in scanner.found.items()}


class _Scanner:
    """Walks once over a text, noting the offset of each path."""

    def __init__(self, text: str) -> None:
        self.found: dict[KeyPath, int] = {}
        self._text = text
        self._offset = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        # How many [[...]] headers each array of tables has had so far.
        self._lengths: dict[KeyPath, int] = {}

    def position(self, offset: int) -> Position:
        line = bisect_right(self._line_starts, offset)
        return Position(line, offset - self._line_starts[line - 1] + 1)

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip(_BETWEEN) < len(self._text):
            if self._text[self._offset] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        start = self._offset
        is_array = self._take("[[")
        if not is_array:
            self._expect("[")
        path: KeyPath = ()
        for name in self._dotted_key():
            path = self._latest_element(path)
            path += (name,)
            self._note(path, start)
        if is_array:
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = self._latest_element(path)
        self._note(path, start)
        self.found[path] = start
        self._expect("]]" if is_array else "]")
        return path

    def _latest_element(self, path: KeyPath) -> KeyPath:
        """A header that goes through an array of tables means that array's last element."""
        return (*path, self._lengths[path] - 1) if path in self._lengths else path

    def _pair(self, table: KeyPath) -> None:
        start = self._offset
        path = table
        for name in self._dotted_key():
            path += (name,)
            self._note(path, start)
        self._expect("=")
        self._skip(_BLANKS)
        self._value(path)

    def _dotted_key(self) -> list[str]:
        names = [self._key()]
        while self._take("."):
            names.append(self._key())
        return names

    def _key(self) -> str:
        self._skip(_BLANKS)
        match = _BARE_KEY.match(self._text, self._offset) or _STRING.match(self._text, self._offset)
        if match is None:
            raise _NotUnderstoodError
        self._offset = match.end()
        self._skip(_BLANKS)
        raw = match[0]
        if not raw.startswith(("'", '"')):
            return raw
        try:
            # Escapes in keys follow the same rules as in values, which tomllib knows.
            return str(tomllib.loads(f"key = {raw}")["key"])
        except tomllib.TOMLDecodeError:
            raise _NotUnderstoodError from None

    def _value(self, path: KeyPath) -> None:
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            self._inline_table(path)
        else:
            match = _STRING.match(self._text, self._offset)
            match = match or _SCALAR.match(self._text, self._offset)
            if match is None:
                raise _NotUnderstoodError
            self._offset = match.end()

    def _array(self, path: KeyPath) -> None:
        index = 0
        self._skip(_BETWEEN)
        while not self._take("]"):
            self._note((*path, index), self._offset)
            self._value((*path, index))
            index += 1
            self._end_of_element("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._skip(_BETWEEN)
        while not self._take("}"):
            self._pair(path)
            self._end_of_element("}")

    def _end_of_element(self, closing: str) -> None:
        self._skip(_BETWEEN)
        if self._take(","):
            self._skip(_BETWEEN)
        elif not self._text.startswith(closing, self._offset):
            raise _NotUnderstoodError

    def _note(self, path: KeyPath, offset: int) -> None:
        if len(path) > _DEEPEST:
            raise TooDeeplyNestedError(self.position(offset))
        self.found.setdefault(path, offset)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._offset)
        self._offset = match.end() if match else self._offset
        return self._offset

    def _take(self, token: str) -> bool:
        taken = self._text.startswith(token, self._offset)
        self._offset += len(token) if taken else 0
        return taken

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise _NotUnderstoodError
