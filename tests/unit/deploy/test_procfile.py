"""A Procfile beside .miren/ gives an app its processes; what app.toml says of them wins."""

from pathlib import Path

import pytest

from deploy import AppConfig, AppTomlError, AutoConcurrency, FixedConcurrency, parse

REPAIR = "mend or remove this file, which stands beside .miren"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / ".miren").mkdir()
    (tmp_path / ".miren" / "app.toml").write_text('name = "shop"\n')
    return tmp_path


def parsed(app: Path, procfile: str, app_toml: str = 'name = "shop"\n') -> AppConfig:
    (app / "Procfile").write_text(procfile)
    (app / ".miren" / "app.toml").write_text(app_toml)
    return parse(app / ".miren" / "app.toml")


def commands(config: AppConfig) -> dict[str, str | None]:
    return {service.name: service.command for service in config.services}


def test_each_line_is_a_service(app: Path) -> None:
    config = parsed(app, "# processes\n\nweb: bin/web -p $PORT\n  worker :  bin/work: all  \r\n")

    assert commands(config) == {"web": "bin/web -p $PORT", "worker": "bin/work: all"}
    web, worker = config.services
    assert (web.port, web.concurrency) == (3000, AutoConcurrency())
    assert (worker.port, worker.concurrency) == (None, FixedConcurrency())


def test_a_service_of_app_toml_gets_its_command_where_it_has_none(app: Path) -> None:
    app_toml = 'name = "shop"\n[services.web]\nport = 80\n[services.worker]\ncommand = "mine"\n'
    config = parsed(app, "web: bin/web\nworker: bin/work\n", app_toml)

    assert commands(config) == {"web": "bin/web", "worker": "mine"}
    assert config.services[0].port == 80


def test_a_service_with_an_image_of_its_own_keeps_what_that_runs(app: Path) -> None:
    app_toml = 'name = "shop"\n[services.db]\nimage = "postgres:16"\n'
    assert commands(parsed(app, "db: bin/db\n", app_toml)) == {"db": None}


def test_a_procfile_elsewhere_is_none_of_the_apps(app: Path) -> None:
    (app / ".miren" / "Procfile").write_text("wrong")
    (app / "app.toml").write_text('name = "other"\n')
    (app / "Procfile").write_text("job: bin/job\n")

    assert commands(parse(app / "app.toml")) == {"web": None}
    assert commands(parse(app / ".miren" / "app.toml")) == {"job": "bin/job"}
    assert commands(parse('name = "shop"')) == {"web": None}


def test_all_mistakes_of_both_files_are_told_at_once(app: Path) -> None:
    lines = ["web", "my_job: bin/job", "ok: true", "ok: false", "none:", ": x", "a b: c"]
    with pytest.raises(AppTomlError) as refusal:
        parsed(app, "\n".join(lines), 'name = "shop"\nprot = 80\n')

    file = app / "Procfile"
    port = "did you mean port, which belongs in [services.NAME]?"
    no_process = "is no `name: command`; write for example web: npm start"
    rule = "may have only letters, digits and hyphens, and no hyphen first or last"
    assert str(refusal.value).splitlines() == [
        f"{app}/.miren/app.toml:2:1: prot: is not a known key; {port}",
        f"{file}:1:1: {no_process}",
        f'{file}:2:1: names a service "my_job", which {rule}; write my-job: bin/job',
        f"{file}:4:1: defines ok again; keep one of the lines",
        f"{file}:5:1: has no command for none; write for example none: npm start",
        f"{file}:6:1: {no_process}",
        f"{file}:7:1: {no_process}",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"web: a\n\xff", ":2:1: is not UTF-8 text (byte 0xFF); save it as UTF-8"),
        (b"web: a\0b", ":1:7: contains a NUL character; is it a text file at all?"),
        (b"#" * (2**20 + 1), f": is larger than 1 MiB; {REPAIR}"),
    ],
    ids=["latin-1", "NUL", "large"],
)
def test_a_procfile_that_is_no_text_is_refused(app: Path, content: bytes, said: str) -> None:
    (app / "Procfile").write_bytes(content)
    with pytest.raises(AppTomlError) as refusal:
        parse(app / ".miren" / "app.toml")
    assert str(refusal.value).startswith(f"{app}/Procfile{said}")


def test_a_procfile_that_cannot_be_read_is_refused(app: Path) -> None:
    (app / "Procfile").symlink_to("Procfile")
    with pytest.raises(AppTomlError) as refusal:
        parse(app / ".miren" / "app.toml")
    reason = "cannot be read: Too many levels of symbolic links"
    assert str(refusal.value) == f"{app}/Procfile: {reason}; {REPAIR}"


def test_a_command_that_is_too_long_is_told_where_it_stands(app: Path) -> None:
    with pytest.raises(AppTomlError) as refusal:
        parsed(app, f"job: {'x' * 131_072}\nweb\n")
    elsewhere = "put what is large into a file of the image, or on a disk"
    too_long = f"has 131072 bytes, more than the 131071 that Linux can pass on; {elsewhere}"
    assert str(refusal.value).splitlines() == [
        f"{app}/Procfile:1:1: job: {too_long}",
        f"{app}/Procfile:2:1: is no `name: command`; write for example web: npm start",
    ]


def test_a_host_of_no_service_is_warned_about_where_it_stands(app: Path) -> None:
    app_toml = 'name = "shop"\n[services.web]\nport = 80\n'
    config = parsed(app, "# all\nweb: a\njob: curl bd.app.miren\n", app_toml)

    what = 'names "bd.app.miren", but the app has no such service; its services are job, web'
    assert [str(warning) for warning in config.warnings] == [f"{app}/Procfile:3:1: job: {what}"]


def test_a_host_in_a_command_of_app_toml_is_told_there_though_a_procfile_has_the_service(
    app: Path,
) -> None:
    app_toml = 'name = "shop"\n[services.job]\ncommand = "curl bd.app.miren"\n'
    [warning] = parsed(app, "job: curl xx.app.miren\n", app_toml).warnings

    assert str(warning).startswith(f"{app}/.miren/app.toml:3:1: services.job.command: names ")
