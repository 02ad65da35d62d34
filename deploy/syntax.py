"""From text to the plain tables of TOML, with the place of every key."""

import re
import tomllib

from deploy.positions import KeyPath, Position, TooDeeplyNestedError, find_positions
from deploy.problems import AppTomlError, Problem, shown_path
from deploy.source import Source

_PLACE = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")
# How tomllib's messages begin; what is wrong, in its author's words; what to write instead.
_MISTAKES = (
    (
        "Invalid statement",
        "a line must be a key with its value, or a header",
        'write key = "value", [table] or [[table]]',
    ),
    (
        "Expected '=' after",
        "a key must be followed by =",
        'write key = "value"; a key with more than letters, digits, - and _ needs quotes',
    ),
    ("Invalid value", "this value is not TOML", 'text needs quotes, as in key = "value"'),
    ("Cannot overwrite", "this key is given twice", "keep one of the two"),
    ("Duplicate inline", "this key is given twice", "keep one of the two"),
    (
        "Cannot declare",
        "this table is given twice",
        "join the two, or write [[…]] for both where a list is meant",
    ),
    ("Cannot redefine", "this table is given twice", "join the two"),
    (
        "Cannot mutate",
        "this adds to a table or list written inline",
        "write all of it in one place",
    ),
    (
        "Expected newline or",
        "there is more on this line than one value",
        "begin a new line, or put the whole text in quotes",
    ),
    ("Expected ']", "this header is not closed", "close it with as many brackets as opened it"),
    ("Expected ", "this text is not closed", "end it with the quotes that began it"),
    ("Unterminated", "this text is not closed", "end it with the quotes that began it"),
    ("Illegal character '\\n'", "this text does not end on its line", "end it with a quote"),
    ("Found invalid character '\\n'", "this text does not end on its line", "end it with a quote"),
    ("Illegal character", "TOML forbids this control character here", "remove it"),
    ("Found invalid character", "TOML forbids this control character here", "remove it"),
    ("Unclosed array", "this list is not closed", "end it with ]"),
    ("Unclosed inline", "this inline table is not closed", "end it with }"),
    (
        "Unescaped '\\'",
        'a backslash in "…" begins an escape, and this one is unknown',
        "write \\\\ for a backslash, or '…' around the text",
    ),
    ("Invalid hex", "this escape needs hexadecimal digits", "write \\u and four of them"),
    ("Escaped character", "this escape is no Unicode character", "write the character itself"),
    ("Invalid date", "this date or time does not exist", "put it in quotes if it is a text"),
    ("Invalid initial", "a key has only letters, digits, - and _", "put any other key in quotes"),
    ("Exceeds the limit", "a number has thousands of digits", "write a smaller one"),
)
# What stands at the mistake, with the character before it, where that tells more.
_SEEN = (
    (
        r".[\u2018\u2019\u201C\u201D\u201E\u00AB]",
        "TOML does not know this kind of quote",
        """write straight quotes: " or '""",
    ),
    (
        r"[ \t=\[,](?i:true|false)\b",
        "this value is not TOML",
        "write true or false, in small letters",
    ),
    (
        r"0[0-9]",
        "a number does not begin with 0",
        "write it without, or put it in quotes if it is a text",
    ),
    (
        r"[0-9][ \t]?[A-Za-z]+[ \t]*(#.*)?$",
        "a number has no unit",
        "write the number alone, or put both in quotes if it is a text",
    ),
)


def load(source: Source) -> tuple[dict[str, object], dict[KeyPath, Position]]:
    """Return the document and the places of its keys.

    Raises:
        AppTomlError: this is not TOML, or is nested beyond all reason.
    """
    positions: dict[KeyPath, Position] = {}
    try:
        positions = find_positions(source.text)
        return tomllib.loads(source.text), positions
    except TooDeeplyNestedError as error:
        what, instead = f"is {error}", "an app.toml never needs more than 6 levels"
        place = error.position
        problem = Problem(source.file, what, instead, line=place.line, column=place.column)
    except RecursionError:  # The caller is deep in recursion itself, with little left for us.
        problem = Problem(source.file, "is nested too deep", "write it with fewer levels")
    except ValueError as error:  # TOMLDecodeError, or Python's limit on the digits of an integer
        problem = _syntax_problem(source, str(error), positions)
    raise AppTomlError([problem])


def _syntax_problem(source: Source, message: str, positions: dict[KeyPath, Position]) -> Problem:
    file = source.file
    what, instead = message, "the rules are at https://toml.io/en/v1.0.0"
    for beginning, explanation, advice in _MISTAKES:
        if message.startswith(beginning):
            what, instead = explanation, advice
            break
    found = _PLACE.search(message)
    if found is None:
        return Problem(file, what, instead)
    if found[1]:
        line, column = int(found[1]), int(found[2])
        what, instead = _seen_at(source.text, line, column) or (what, instead)
        return Problem(file, what, instead, line=line, column=column)
    # At the end of the file it is found that something was not closed: the last key began it.
    keys = [path for path in positions if isinstance(path[-1], str)]
    last = max(keys, key=lambda path: (positions[path].line, positions[path].column), default=())
    place = positions.get(last, Position(1, 1))
    return Problem(file, what, instead, shown_path(last), place.line, place.column)


def _seen_at(text: str, line: int, column: int) -> tuple[str, str] | None:
    # Bounded, for a line may be as long as the file.
    rest = text.split("\n")[line - 1][max(column - 2, 0) :][:80]
    return next(((what, instead) for seen, what, instead in _SEEN if re.match(seen, rest)), None)
