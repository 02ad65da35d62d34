"""Reading one table of an app.toml: each value comes out with its type, or as a finding.

An accessor never raises. Where a value is missing or wrong it returns the default and, if wrong,
notes why: reading goes on, so that the author sees all mistakes at once.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from csi.duration import parse_duration
from deploy.keys import KEYS, advice_on_unknown
from deploy.names import miren_name_mistake, nearest_miren_name
from deploy.positions import KeyPath
from deploy.problems import Findings, quoted, shown_path

# bool before int: to Python a boolean is an integer.
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a float"),
    (str, "a string"),
    (list, "an array"),
    (dict, "a table"),
)
_GIGABYTES = re.compile(r"\s*([0-9]{1,9})\s*(?:Gi?B?)?\s*", re.IGNORECASE)
_NUL = ("contains a NUL character", "remove it: no program can be given one")
# Kubernetes' counts are signed 32-bit integers.
LARGEST_COUNT = 2**31 - 1

ChoiceT = TypeVar("ChoiceT", bound=StrEnum)


class Fields:
    """The keys of one table, which stands at `path` in the file."""

    def __init__(
        self, table: Mapping[str, object], path: KeyPath, section: str, findings: Findings
    ) -> None:
        self.path = path
        self._table = table
        self._findings = findings
        for key in table:
            if key not in KEYS[section]:
                self.error(key, "is not a known key", advice_on_unknown(key, section))

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def error(self, key: str, what: str, instead: str) -> None:
        """Note a mistake in this key's value."""
        self._findings.error((*self.path, key), what, instead)

    def error_here(self, what: str, instead: str) -> None:
        """Note a mistake in the table itself."""
        self._findings.error(self.path, what, instead)

    def warn(self, key: str, what: str, instead: str) -> None:
        """Note advice about this key."""
        self._findings.warn((*self.path, key), what, instead)

    def string(self, key: str, instead: str | None = None) -> str | None:
        """Return a string, None where it is missing or empty: to Miren that is the same.

        `instead` is what to write where it is no string, if not the same value in quotes.
        """
        value = self._table.get(key, "")
        if not isinstance(value, str):
            self._wrong_type(key, "a string", instead or f"write {key} = {_as_string(value)}")
            return None
        if "\0" in value:
            self.error(key, *_NUL)
            return None
        return value or None

    def required_string(self, key: str, example: str) -> str | None:
        """Return a string that has to be there and not to be empty."""
        if self._table.get(key, "") == "":
            what = "is empty" if key in self._table else "is missing"
            self.error(key, what, f'write {key} = "{example}"')
        return self.string(key)

    def name(self, example: str, longest: int) -> str:
        """Return the `name` of an app or a disk, empty where it is missing."""
        name = self.required_string("name", example) or ""
        mistake = miren_name_mistake(name, longest) if name else None
        if mistake:
            better = nearest_miren_name(name, longest) or example
            self.error("name", mistake, f'write name = "{better}"')
        return name

    def integer(self, key: str, minimum: int, maximum: int = LARGEST_COUNT) -> int | None:
        """Return an integer within the limits, None where it is missing or wrong."""
        if key not in self._table:
            return None
        value = self._table[key]
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong_type(key, "an integer", _as_integer(key, value))
            return None
        if not minimum <= value <= maximum:
            # Not shown: Python refuses to write out integers of thousands of digits.
            what = "is too small" if value < minimum else "is too large"
            self.error(key, what, f"write a whole number from {minimum} to {maximum}")
            return None
        return value

    def boolean(self, key: str) -> bool:
        """Return a boolean, False where it is missing or wrong."""
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            instead = f"write {key} = true or {key} = false, without quotes"
            self._wrong_type(key, "a boolean", instead)
            return False
        return value

    def choice(self, key: str, choices: type[ChoiceT], default: ChoiceT) -> ChoiceT | None:
        """Return one of an enumeration's values, the default where missing, None where wrong."""
        instead = "write one of " + ", ".join(f'"{choice}"' for choice in choices)
        value = self.string(key, instead)
        if value in list(choices):
            return choices(value)
        if value is not None:
            self.error(key, f"is {quoted(value)}, which is unknown", instead)
            return None
        # Missing and empty mean the default; of another type was wrong and is noted.
        return default if self._table.get(key, "") == "" else None

    def duration(self, key: str, default: float, example: str) -> float:
        """Return the seconds of a Go duration, the default where it is missing or wrong."""
        instead = f'for example {key} = "{example}"'
        value = self.string(key, instead)
        if value is None:
            return default
        try:
            return parse_duration(value)
        except ValueError as error:
            self.error(key, str(error), instead)
            return default

    def strings(self, key: str) -> tuple[str, ...]:
        """Return an array's strings."""
        value = self._table.get(key, [])
        if not isinstance(value, list):
            self._wrong_type(key, "an array of strings", f"write {key} = [{_as_string(value)}]")
            return ()
        texts = []
        for index, element in enumerate(value):
            path = (*self.path, key, index)
            if not isinstance(element, str):
                what = f"must be a string, not {_type_name(element)}"
                self._findings.error(path, what, f"write {_as_string(element)}")
            elif "\0" in element:
                self._findings.error(path, *_NUL)
            else:
                texts.append(element)
        return tuple(texts)

    def table(self, key: str, section: str) -> "Fields | None":
        """Return the table under this key, None where it is missing or wrong."""
        value = self._table.get(key)
        if value is None:
            return None
        path = (*self.path, key)
        if not isinstance(value, dict):
            self._wrong_type(key, "a table", f"write [{shown_path(path)}] and its keys below")
            return None
        return Fields(value, path, section, self._findings)

    def tables(self, key: str, section: str) -> list["Fields"]:
        """Return an array's tables, in order."""
        value = self._table.get(key, [])
        path = (*self.path, key)
        example = " and ".join(f"{name} = …" for name in KEYS[section][:2])
        instead = f"write [[{shown_path(path)}]] and below it {example}"
        if not isinstance(value, list):
            self._wrong_type(key, "an array of tables", instead)
            return []
        tables = []
        for index, element in enumerate(value):
            if isinstance(element, dict):
                tables.append(Fields(element, (*path, index), section, self._findings))
            else:
                what = f"must be a table, not {_type_name(element)}"
                self._findings.error((*path, index), what, instead)
        return tables

    def named_tables(self, key: str, section: str) -> list[tuple[str, "Fields"]]:
        """Return the tables of a table of tables, each with its name."""
        value = self._table.get(key, {})
        path = (*self.path, key)
        if not isinstance(value, dict):
            self._wrong_type(key, "a table", f"write {section} with a name of your choice")
            return []
        tables = []
        for name, element in value.items():
            if isinstance(element, dict):
                fields = Fields(element, (*path, name), section, self._findings)
                tables.append((name, fields))
            else:
                what = f"must be a table, not {_type_name(element)}"
                instead = f"write [{shown_path((*path, name))}] and its keys below"
                self._findings.error((*path, name), what, instead)
        return tables

    def _wrong_type(self, key: str, expected: str, instead: str) -> None:
        what = f"must be {expected}, not {_type_name(self._table[key])}"
        self.error(key, what, instead)


def _type_name(value: object) -> str:
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "a date or time")


def _as_string(value: object) -> str:
    """Write a value as the string that was probably meant."""
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    # Larger integers are left out: Python refuses to write those of thousands of digits.
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**18):
        return f'"{value}"'
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        value = " ".join(value)
    return quoted(value) if isinstance(value, str) else '"…"'


def _as_integer(key: str, value: object) -> str:
    """Advise to write the integer that was probably meant."""
    digits = _GIGABYTES.fullmatch(value) if isinstance(value, str) else None
    if digits:
        return f"write {key} = {int(digits[1])}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**9:
        return f"write {key} = {int(value)}"
    return f"write a whole number, such as {key} = 1"
