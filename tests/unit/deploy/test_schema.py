"""The schema that editors use says of an app.toml what the parser says."""

import datetime
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import AppTomlError, parse, schema
from deploy.keys import KEYS
from tests.unit.deploy import any_app
from tests.unit.deploy.test_bad_files import CASES
from tests.unit.deploy.test_parse import EVERY_KEY

ROOT = Path(__file__).parents[3]
SCHEMA = schema.make_schema()


def _pattern(
    _validator: object, pattern: str, value: object, _schema: object
) -> Iterator[jsonschema.ValidationError]:
    # To JSON Schema $ is the very end; Python's also matches before a last line break.
    strict = pattern.replace("$", r"\Z")
    if isinstance(value, str) and not re.search(strict, value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern}")


Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft7Validator, {"pattern": _pattern}
)
VALIDATOR = Validator(SCHEMA)


def refused(document: object) -> str:
    """Return why the schema refuses it, or nothing."""
    error = jsonschema.exceptions.best_match(VALIDATOR.iter_errors(document))
    return f"{error.json_path}: {error.message}" if error else ""


def test_the_file_is_what_the_model_makes() -> None:
    assert schema.FILE.read_text() == schema.as_text(SCHEMA), "run make schema"


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


SECTIONS = {
    "the top level": SCHEMA,
    "[services.NAME]": SCHEMA["definitions"]["Service"],
    "[services.NAME.concurrency]": SCHEMA["definitions"]["Concurrency"],
    "[[services.NAME.disks]]": SCHEMA["definitions"]["DiskSpec"],
    "[[env]]": SCHEMA["definitions"]["EnvVar"],
    "[build]": SCHEMA["definitions"]["Build"],
}


@pytest.mark.parametrize("section", KEYS)
def test_it_has_the_parsers_keys_each_described(section: str) -> None:
    properties = SECTIONS[section]["properties"]
    assert set(properties) == set(KEYS[section])
    assert SECTIONS[section]["additionalProperties"] is False
    for of_key in properties.values():
        referred = SCHEMA["definitions"][of_key["$ref"].split("/")[-1]] if "$ref" in of_key else {}
        assert len((of_key | referred)["description"]) > 10


def test_examples_and_defaults_are_right_themselves() -> None:
    definitions = SCHEMA["definitions"]
    for section in SECTIONS.values():
        for key, of_key in section["properties"].items():
            validator = Validator({**of_key, "definitions": definitions})
            default = [of_key["default"]] if "default" in of_key else []
            for value in [*of_key.get("examples", []), *default]:
                assert not list(validator.iter_errors(value)), (key, value)


def right_files() -> Iterator[Any]:
    """Each app.toml of the tests, and what documents show of one."""
    yield pytest.param(EVERY_KEY, id="every key")
    for path in sorted((ROOT / "tests").rglob("*.toml")):
        yield pytest.param(path.read_text(), id=str(path.relative_to(ROOT)))
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for number, block in enumerate(
            re.findall(r"```toml\n(.*?)```", path.read_text(), re.DOTALL)
        ):
            yield pytest.param(block, id=f"{path.name} {number}")


@pytest.mark.parametrize("content", list(right_files()))
def test_a_right_file_is_right(content: str) -> None:
    document = tomllib.loads(content)
    # What a document shows may lack the name.
    assert refused({"name": "shop", **document}) == ""


LONGEST = "a" * 63
# The last value that is right, the first that is wrong.
LIMITS = [
    (f"name = '{LONGEST}'", f"name = '{LONGEST}a'"),
    ("concurrency = 0", "concurrency = -1"),
    ("concurrency = 2147483647", "concurrency = 2147483648"),
    (f"services.{LONGEST} = {{}}", f"services.{LONGEST}a = {{}}"),
    ("services.a.port = 1", "services.a.port = 0"),
    ("services.a.port = 65535", "services.a.port = 65536"),
    ("disk.name = 'DISK'", "disk.name = 'DISKa'"),
    (
        "disk.name = 'LOCAL'\ndisk.provider = 'local'",
        "disk.name = 'LOCALa'\ndisk.provider = 'local'",
    ),
    ("disk.size_gb = 0", "disk.size_gb = -1"),
    ("disk.size_gb = 8589934591", "disk.size_gb = 8589934592"),
    ("disk.lease_timeout = '1ns'", "disk.lease_timeout = '0ns'"),
    ("services.a.concurrency.num_instances = 1", "services.a.concurrency.num_instances = 0"),
    (
        "services.web.concurrency.requests_per_instance = 1",
        "services.web.concurrency.requests_per_instance = 0",
    ),
]


@pytest.mark.parametrize(("right", "wrong"), LIMITS, ids=[wrong for _, wrong in LIMITS])
def test_parser_and_schema_have_the_same_limits(right: str, wrong: str) -> None:
    assert verdicts(_app(right)) == ([], "")
    said, schema_said = verdicts(_app(wrong))
    assert said
    assert schema_said


def _app(lines: str) -> str:
    lines = lines.replace("DISK", "a" * 128).replace("LOCAL", "a" * 58)
    disk = dict(re.findall(r"^disk\.(\w+) = (.*)$", lines, re.MULTILINE))
    if not disk:
        return lines if lines.startswith("name") else f"name = 'shop'\n{lines}"
    table = "".join(
        f"{key} = {value}\n"
        for key, value in {"name": "'data'", "mount_path": "'/data'", **disk}.items()
    )
    return f"name = 'shop'\n[[services.db.disks]]\n{table}"


# What no schema can say: of several tables together, or of a float that is a whole number.
ONLY_THE_PARSER = (
    r"is \".*\", which is also services",
    r"is \".*\" again, as services",
    r"is \".*\", where .* is mounted",
    r"must be an integer, not a float; write \w+ = -?\d+$",
    r"with characters no path should have",
    r"is longer than 4095 bytes",
    r"longer than the longest duration",
    r"a duration of \d+ characters is too long",
)


def verdicts(content: str) -> tuple[list[str], str]:
    """Return what the parser says and what the schema says."""
    try:
        parse(content)
    except AppTomlError as refusal:
        said = [str(problem) for problem in refusal.problems]
        return said, refused(tomllib.loads(content))
    return [], refused(tomllib.loads(content))


def is_toml(content: str) -> bool:
    try:
        tomllib.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


STRUCTURAL = [case[:2] for case in CASES if is_toml(case[1])]


def test_most_bad_files_are_for_the_schema_too() -> None:
    assert len(STRUCTURAL) > 50


@pytest.mark.parametrize(
    "content", [pytest.param(content, id=name) for name, content in STRUCTURAL]
)
def test_parser_and_schema_refuse_the_same_bad_files(content: str) -> None:
    said, schema_said = verdicts(content)
    assert said
    assert bool(schema_said) == any(is_for_schema(problem) for problem in said)


def is_for_schema(problem: str) -> bool:
    return not any(re.search(pattern, problem) for pattern in ONLY_THE_PARSER)


@given(any_app.right_apps())
def test_parser_and_schema_accept_every_right_app(app: any_app.Table) -> None:
    assert verdicts(any_app.as_toml(app)) == ([], "")


@settings(max_examples=300)
@given(any_app.changed_apps())
def test_parser_and_schema_agree_on_any_change(app: any_app.Table) -> None:
    said, schema_said = verdicts(any_app.as_toml(app))
    # What the parser alone can know is wrong, may be wrong to the schema for another reason.
    assert said or not schema_said, schema_said
    assert schema_said or not any(map(is_for_schema, said)), said


@pytest.mark.parametrize(
    "value", [datetime.date(2026, 1, 1), datetime.time(12), 2**70, float("nan"), float("inf")]
)
def test_values_that_json_does_not_have_are_refused_not_a_crash(value: object) -> None:
    assert refused({"name": value})
    assert refused({"name": "a", "concurrency": value})


PATH_PIECES = st.lists(st.sampled_from(["/", ".", "..", "a", "..b", ":", "-", "\n"]), max_size=6)


@given(PATH_PIECES.map("".join))
def test_names_and_paths_are_right_to_both_or_to_none(text: str) -> None:
    for name, path in ((text, "/data"), ("data", text)):
        disk = {"name": name, "mount_path": path}
        said, schema_said = verdicts(
            any_app.as_toml({"name": "a", "services": {"db": {"disks": [disk]}}})
        )
        assert bool(schema_said) == bool(said), (said, schema_said)
