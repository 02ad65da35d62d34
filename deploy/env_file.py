"""Environment given on the command line: `--set KEY=VALUE` and `--env-file FILE`."""

import re
from pathlib import Path

from deploy import source
from deploy.problems import AppTomlError, Problem, quoted

_LINE = re.compile(r"\s*(?:export\s+)?([^=\s]+)\s*=\s*(.*?)\s*")
_ESCAPED = re.compile(r'\\([\\"nrt])')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_setting(text: str) -> tuple[str, str]:
    """Return the key and the value of `KEY=VALUE`, the value as it is.

    Raises:
        ValueError: it is no such pair, or not UTF-8 text.
    """
    key, equals, value = text.partition("=")
    if not equals or _key_mistake(key):
        raise ValueError(f"{quoted(text)} is no KEY=VALUE")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the value of {key} is not UTF-8 text: a Secret cannot hold it") from None
    return key, value


def read(path: Path) -> dict[str, str]:
    r"""Return the variables of a file with a `KEY=VALUE` in each line.

    Empty lines and those that begin with # are skipped, `export` before a key is too. A value in
    single quotes is taken literally, one in double quotes may have \n, \r, \t, \\ and \".

    Raises:
        AppTomlError: it cannot be read, or lines of it are wrong.
    """
    variables: dict[str, str] = {}
    problems = []
    for number, line in enumerate(source.read(path).text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        mistake = _key_mistake(found[1]) if found else "is no KEY=VALUE"
        if mistake or not found:
            instead = "write for example LOG_LEVEL=debug"
            problems.append(Problem(str(path), mistake or "", instead, line=number, column=1))
        else:
            variables[found[1]] = _unquoted(found[2])
    if problems:
        raise AppTomlError(problems)
    return variables


def _key_mistake(key: str) -> str:
    if key and key.isascii() and key.isprintable() and " " not in key:
        return ""
    return f"has {quoted(key)}, which cannot name a variable"


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == '"':
        return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1])
    return text
