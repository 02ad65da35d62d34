"""Whatever is given for an app.toml, it is an app or is refused with reasons: never a crash."""

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import AppConfig, AppTomlError, Problem, parse, to_yaml, translate_disks
from tests.unit.deploy import any_app
from tests.unit.deploy.test_parse import EVERY_KEY


def read(content: str | bytes) -> AppConfig | tuple[Problem, ...]:
    try:
        return parse(content)
    except AppTomlError as refusal:
        return refusal.problems


def assert_app_or_reasons(content: str | bytes) -> None:
    outcome = read(content)
    if isinstance(outcome, AppConfig):
        assert outcome.name
        assert to_yaml(translate_disks(outcome)).count("---") == 2 * len(
            {(disk.provider, disk.name) for disk in outcome.disks}
        )
    else:
        assert outcome
        assert all(problem.what and problem.instead for problem in outcome)
        # A terminal shows each and obeys nothing in it.
        assert all(line.isprintable() for problem in outcome for line in str(problem).split("\n"))


BEGINNINGS = st.sampled_from(["", 'name = "shop"\n'])


@given(BEGINNINGS, st.binary(max_size=200))
def test_any_bytes(beginning: str, content: bytes) -> None:
    assert_app_or_reasons(beginning.encode() + content)


@given(BEGINNINGS, st.text())
def test_any_text(beginning: str, content: str) -> None:
    assert_app_or_reasons(beginning + content)


PIECES = st.sampled_from(
    [
        *("name", "env", "services", "disks", "concurrency", "size_gb", "mount_path", "provider"),
        *("[", "]", "[[", "]]", "{", "}", "=", ".", ",", '"', "'", '"""', "'''", "\\", "#"),
        *("\n", " ", "true", "nan", "-1", "5m", "local", "/data", "..", "2026-01-01", "0x", "1e9"),
        *('name = "shop"\n', "[services.db]\n", "[[services.db.disks]]\n", "/miren/data/local"),
    ]
)


@settings(max_examples=200)
@given(BEGINNINGS, st.lists(PIECES | st.text(max_size=3), max_size=40).map("".join))
def test_text_like_toml(beginning: str, content: str) -> None:
    assert_app_or_reasons(beginning + content)


VALUES = st.sampled_from(
    [
        *('"text"', "''", "5", "-5", "0.5", "nan", "true", "2026-01-01", "12:00:00", "[]", "{}"),
        *("[1, 'a', {}]", "{a = 1}", "[[{}]]", '"\\u0000"', '"/miren/data/local"', "'5m'"),
        *("0x" + "f" * 99, "'auto'", "'fixed'", "'local'", "'miren'", "'/a/../b'", "[{}, {}]"),
    ]
)
KEYS = st.sampled_from(
    [
        *("name", "post_import", "env", "include", "build", "concurrency", "services", "env.key"),
        *("services.db", "services.db.env", "services.db.disks", "services.db.port", "''"),
        *("services.web.concurrency", "services.web.concurrency.mode", "services.''", "build.x"),
        *("services.web.concurrency.num_instances", "services.web.env", '"\\u202e"'),
    ]
)
DISK_KEYS = st.sampled_from(
    ["name", "mount_path", "provider", "size_gb", "filesystem", "read_only", "lease_timeout"]
)


def lines(table: dict[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in table.items())


# Each is right until a value drawn for it is not.
DISK = {"name": "'data'", "mount_path": "'/data'"}
DISKS = st.dictionaries(DISK_KEYS, VALUES, max_size=3).map(lambda drawn: {**DISK, **drawn})
TOPS = st.dictionaries(KEYS, VALUES, max_size=3).map(lambda drawn: {"name": "'shop'", **drawn})


@settings(max_examples=200)
@given(TOPS, DISKS)
def test_any_value_under_any_key(top: dict[str, str], disk: dict[str, str]) -> None:
    assert_app_or_reasons(f"{lines(top)}[[services.web.disks]]\n{lines(disk)}")


@given(DISKS, DISKS)
def test_any_two_disks(first: dict[str, str], second: dict[str, str]) -> None:
    tables = (
        f"[[services.{name}.disks]]\n{lines(disk)}"
        for name, disk in (("db", first), ("web", second))
    )
    assert_app_or_reasons("name = 'shop'\n" + "".join(tables))


@given(any_app.changed_apps())
def test_any_change_of_a_right_app(app: any_app.Table) -> None:
    assert_app_or_reasons(any_app.as_toml(app))


PATCHES = st.binary(max_size=3) | PIECES.map(str.encode)
CUTS = st.tuples(st.integers(0, len(EVERY_KEY)), st.integers(0, 12), PATCHES)


@settings(max_examples=200)
@given(st.lists(CUTS, min_size=1, max_size=3))
def test_any_cut_in_a_right_file(cuts: list[tuple[int, int, bytes]]) -> None:
    content = EVERY_KEY.encode()
    for place, length, instead in cuts:
        content = content[:place] + instead + content[place + length :]
    assert_app_or_reasons(content)
