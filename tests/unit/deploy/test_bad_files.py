"""Each wrong app.toml of bad_files.md is refused, with everything that is wrong in it."""

import contextlib
import itertools
import re
from pathlib import Path

import pytest

from deploy import AppTomlError, Problem, parse

CASES = re.findall(
    r"^## (.+?)\n```toml\n(.*?)```\n```\n(.+?)\n```$",
    Path(__file__).with_name("bad_files.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


def test_the_table_is_read_whole() -> None:
    assert len(CASES) == 128


@pytest.mark.parametrize(
    ("content", "said"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
def test_a_wrong_file_is_refused_with_all_that_is_wrong(content: str, said: str) -> None:
    with pytest.raises(AppTomlError) as refusal:
        parse(content)
    assert str(refusal.value) == said


def problem(line: int, column: int, key: str, what: str, instead: str) -> Problem:
    return Problem("app.toml", what, instead, key, line, column)


MORE_ON_THE_LINE = "there is more on this line than one value"
BEGIN_A_NEW_LINE = "begin a new line, or put the whole text in quotes"
TOO_DEEP = ("is nested more than 32 deep", "an app.toml never needs more than 6 levels")
FAR_TOO_LARGE = ("is too large", "write a whole number from 0 to 2147483647")
OVERLONG_PATH = ("is longer than 4095 bytes", 'write mount_path = "/data"')

LONGEST = 131071
"""Bytes that Linux passes on in one argument, without the final NUL."""


def too_long(has: str) -> tuple[str, str]:
    elsewhere = "put what is large into a file of the image, or on a disk"
    return f"has {has}, more than the {LONGEST} that Linux can pass on", elsewhere


UNSHOWABLE = {
    "a control character": (
        'name = "a\x02b"',
        problem(1, 10, "", "TOML forbids this control character here", "remove it"),
    ),
    "a carriage return for a new line": (
        'name = "shop"\rconcurrency = 1',
        problem(1, 14, "", MORE_ON_THE_LINE, BEGIN_A_NEW_LINE),
    ),
    "thousands of decimal digits": (
        f"concurrency = {'9' * 5000}",
        Problem("app.toml", "a number has thousands of digits", "write a smaller one"),
    ),
    "thousands of hexadecimal digits": (
        f'name = "shop"\nconcurrency = 0x{"f" * 5000}',
        problem(2, 1, "concurrency", *FAR_TOO_LARGE),
    ),
    "a mount path of kilobytes": (
        f'name = "shop"\n[[services.db.disks]]\nname = "a"\nmount_path = "/{"d" * 4095}"',
        problem(4, 1, "services.db.disks[0].mount_path", *OVERLONG_PATH),
    ),
    "a command with which Linux starts no program": (
        f'name = "shop"\n[services.db]\ncommand = "é{"x" * (LONGEST - 1)}"',
        problem(3, 1, "services.db.command", *too_long(f"{LONGEST + 1} bytes")),
    ),
    "a command that is too long once it has an address": (
        f'name = "shop"\n[services.db-reader]\ncommand = "db-reader.app.miren {"x" * 131_050}"',
        problem(3, 1, "services.db-reader.command", *too_long("131074 bytes")),
    ),
    "a post_import command as long": (
        f'post_import = "{"x" * (LONGEST + 1)}"\nname = "shop"',
        problem(1, 1, "post_import", *too_long(f"{LONGEST + 1} bytes")),
    ),
    "a variable with which Linux starts no program": (
        f'name = "shop"\n[[env]]\nkey = "CERTS"\nvalue = "{"x" * (LONGEST - 5)}"',
        problem(4, 1, "env[0].value", *too_long(f"with its key {LONGEST + 1} bytes")),
    ),
    "one of a service as long": (
        f'name = "shop"\n[[services.a.env]]\nkey = "K"\nvalue = "{"x" * LONGEST}"',
        problem(4, 1, "services.a.env[0].value", *too_long(f"with its key {LONGEST + 2} bytes")),
    ),
    "thousands of dots": ("a." * 40_000 + "a = 1", problem(1, 1, "", *TOO_DEEP)),
    "thousands of brackets": (
        'name = "shop"\ninclude = ' + "[" * 40_000,
        problem(2, 43, "", *TOO_DEEP),
    ),
    "thousands of braces": (
        'name = "shop"\ninclude = ' + "{a=" * 40_000,
        problem(2, 105, "", *TOO_DEEP),
    ),
}


@pytest.mark.parametrize(
    ("content", "expected"), [pytest.param(*case, id=name) for name, case in UNSHOWABLE.items()]
)
def test_what_would_not_show_in_the_table_is_refused(content: str, expected: Problem) -> None:
    with pytest.raises(AppTomlError) as refusal:
        parse(content)
    assert refusal.value.problems == (expected,)


def test_what_linux_can_just_pass_on_is_right() -> None:
    command, value = "x" * LONGEST, "x" * (LONGEST - len("K="))
    config = parse(
        f'name = "shop"\n[services.a]\ncommand = "{command}"\n'
        f'[[services.a.env]]\nkey = "K"\nvalue = "{value}"'
    )
    [service] = config.services
    assert service.command == command
    assert config.environment(service) == {"K": value}


def test_a_problem_carries_its_parts() -> None:
    with pytest.raises(AppTomlError) as refusal:
        parse('name = "shop"\n\n  concurrency = "3"', file="shop/app.toml")
    [found] = refusal.value.problems
    assert (found.file, found.line, found.column) == ("shop/app.toml", 3, 3)
    assert found.key == "concurrency"
    assert found.what == "must be an integer, not a string"
    assert found.instead == "write concurrency = 3"


def test_lines_and_columns_are_right_after_windows_line_ends_and_a_byte_order_mark() -> None:
    with pytest.raises(AppTomlError) as refusal:
        parse('\ufeffname = "shop"\r\npost_import = """\r\na\r\n"""\r\n  port = 80\r\n'.encode())
    assert str(refusal.value) == (
        "app.toml:5:3: port: is not a known key; it belongs in [services.NAME]"
    )


def test_a_file_name_cannot_write_to_the_terminal() -> None:
    with pytest.raises(AppTomlError) as refusal:
        parse("name = ", file="a\x1b[2J.toml")
    assert str(refusal.value).startswith(r'"a\u001B[2J.toml":1:1: name: this value is not TOML')


def test_a_nested_file_in_a_deep_program_is_refused_not_a_crash() -> None:
    nested = 'name = "shop"\ninclude = ' + "[" * 31 + "]" * 31

    def said_at_depth(levels: int) -> str:
        if levels:
            return said_at_depth(levels - 1)
        with pytest.raises(AppTomlError) as refusal:
            parse(nested)
        return str(refusal.value)

    said = {said_at_depth(0)}
    with contextlib.suppress(RecursionError):  # this test's own, at last
        for levels in itertools.count(start=500, step=10):
            said.add(said_at_depth(levels))
    assert said == {
        'app.toml:2:12: include[0]: must be a string, not an array; write "…"',
        "app.toml: is nested too deep; write it with fewer levels",
    }
