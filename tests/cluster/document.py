"""The commands of a document, for a test that follows it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of shell commands, which are those without a language."""

    section: str
    """The heading above it."""
    line: int
    text: str


def commands_of(document: Path) -> Iterator[Block]:
    """Yield a Markdown document's blocks of commands, in order."""
    section, began, lines, language = "", 0, list[str](), ""
    for number, line in enumerate(document.read_text().splitlines(), 1):
        fence = re.fullmatch(r"```(\w*)", line)
        if fence and not began:
            began, lines, language = number, [], fence[1]
        elif fence:
            if not language:
                yield Block(section, began, "".join(f"{one}\n" for one in lines))
            began = 0
        elif began:
            lines.append(line)
        elif heading := re.fullmatch(r"#+ (.*)", line):
            section = heading[1]
