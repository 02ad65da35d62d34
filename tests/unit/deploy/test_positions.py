"""The place of every key is found, in any way that TOML can be written."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.positions import KeyPath, Position, TooDeeplyNestedError, find_positions

TEXT = '''\
name = "shop" # [not.a.header]
"quoted \\u0041" . b = 1

[[disks]]   # the first
mount_path = """
[not.a.header]
not = "a key" \\"""" # """
[disks.options]
deep.er = true

  [[disks]]
  name = 'it''

[build]
onbuild = [
    "make", # comment ]
    { a = { b = [1, 2] } , "c" = 3 },
]
'''.replace("'it''", "'it\"'")

PLACES: dict[KeyPath, tuple[int, int]] = {
    ("name",): (1, 1),
    ("quoted A",): (2, 1),
    ("quoted A", "b"): (2, 1),
    ("disks",): (4, 1),
    ("disks", 0): (4, 1),
    ("disks", 0, "mount_path"): (5, 1),
    ("disks", 0, "options"): (8, 1),
    ("disks", 0, "options", "deep"): (9, 1),
    ("disks", 0, "options", "deep", "er"): (9, 1),
    ("disks", 1): (11, 3),
    ("disks", 1, "name"): (12, 3),
    ("build",): (14, 1),
    ("build", "onbuild"): (15, 1),
    ("build", "onbuild", 0): (16, 5),
    ("build", "onbuild", 1): (17, 5),
    ("build", "onbuild", 1, "a"): (17, 7),
    ("build", "onbuild", 1, "a", "b"): (17, 13),
    ("build", "onbuild", 1, "a", "b", 0): (17, 18),
    ("build", "onbuild", 1, "a", "b", 1): (17, 21),
    ("build", "onbuild", 1, "c"): (17, 28),
}


def test_every_way_to_write_a_key_has_its_place() -> None:
    assert find_positions(TEXT) == {path: Position(*place) for path, place in PLACES.items()}


def test_a_table_has_the_place_of_its_own_header_rather_than_of_its_childs() -> None:
    positions = find_positions("[services.db.build]\n[services.db]\n")
    assert positions["services", "db"] == Position(2, 1)
    assert positions[("services",)] == Position(1, 1)


def test_what_comes_before_a_mistake_is_found() -> None:
    assert find_positions('a = 1\nb = "open\nc = 2') == {
        ("a",): Position(1, 1),
        ("b",): Position(2, 1),
    }


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 33, ".".join("a" * 33) + " = 1", "[" + "a." * 32 + "a]"]
)
def test_nesting_beyond_32_levels_is_refused(text: str) -> None:
    with pytest.raises(TooDeeplyNestedError):
        find_positions(text)


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from paths(child, (*path, key))
    if isinstance(value, list):
        for index, child in enumerate(value):
            yield from paths(child, (*path, index))


KEYS = st.sampled_from(["a", "b-1", "1", '"q.\\" "', "'[x]'", "a . b", "c.'='", '""'])
STRINGS = st.sampled_from(
    [
        '"a # ]"',
        "'}'",
        '"""\n[x]\n\\""" \\\n """',
        '""""quoted"""""',
        "'''\n''q'' [[y]]\n'''",
        '"\\\\"',
        "''",
    ]
)
SCALARS = STRINGS | st.sampled_from(["1", "-0.5e3", "true", "1979-05-27 07:32:00Z", "inf", "0xff"])
GAPS = st.sampled_from(["", " ", "\t", "\n", ' # ] } "\n', "\n\n  "])


@st.composite
def arrays(draw: st.DrawFn, children: st.SearchStrategy[str]) -> str:
    parts = [draw(GAPS) + draw(children) + draw(GAPS) for _ in range(draw(st.integers(0, 3)))]
    trailing = draw(st.sampled_from(["", ", # last"])) + "\n" if parts else ""
    return "[" + ",".join(parts) + trailing + draw(GAPS) + "]"


@st.composite
def inline_tables(draw: st.DrawFn, children: st.SearchStrategy[str]) -> str:
    keys = draw(st.lists(KEYS, max_size=3, unique=True))
    return "{" + ", ".join(f"{key} = {draw(children)}" for key in keys) + " }"


VALUES = st.recursive(SCALARS, lambda inner: arrays(inner) | inline_tables(inner), max_leaves=6)
STATEMENTS = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]} # end"),
    KEYS.map(lambda key: f"[ {key} ]"),
    KEYS.map(lambda key: f"  [[{key}]] # array"),
    st.tuples(KEYS, KEYS).map(lambda pair: f"[{pair[0]}.{pair[1]}]"),
)


@given(st.lists(STATEMENTS, max_size=8))
@example(["[[a]]", "[[a.b]]", "[a.b.c]", "x = 1", "[[a.b]]", "[[a]]", "[[a.b]]"])
def test_every_path_of_a_document_has_a_place_and_nothing_else_has(statements: list[str]) -> None:
    valid: list[str] = []
    for statement in statements:
        try:
            tomllib.loads("\n".join([*valid, statement]))
        except tomllib.TOMLDecodeError:
            continue
        valid.append(statement)
    text = "\n".join(valid)
    assert set(find_positions(text)) == set(paths(tomllib.loads(text)))


@given(st.text())
def test_any_text_is_scanned_to_some_end(text: str) -> None:
    lines = text.split("\n")
    for place in find_positions(text).values():
        assert place.column <= len(lines[place.line - 1]) + 1
