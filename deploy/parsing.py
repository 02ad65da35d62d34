"""app.toml in, AppConfig out, or one error that tells everything that is wrong."""

from dataclasses import replace
from pathlib import Path

from csi.object_names import LONGEST_LABEL
from deploy import advice, procfile, syntax
from deploy.disk_entries import check_disks
from deploy.fields import Fields
from deploy.hosts import check_hosts
from deploy.lengths import check_lengths
from deploy.local_data import with_local_data
from deploy.model import AppConfig, Build
from deploy.problems import AppTomlError, Findings, in_file_order
from deploy.services import implied_service, read_env, read_service
from deploy.source import decode, read


def parse(content: Path | str | bytes, file: str = "app.toml") -> AppConfig:
    """Read an app.toml: the file at a Path, or its content, which messages call `file`.

    With a file the app's Procfile is read too. An app that defines no service has the one that
    Miren gives it, `web`.

    Raises:
        AppTomlError: a file cannot be read or is wrong; it carries every problem found.
    """
    processes = procfile.Processes()
    if isinstance(content, Path):
        origin = read(content)
        processes = procfile.read_beside(content)
    else:
        # No file holds a lone surrogate; encoded like this, it is refused as a bad byte.
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        origin = decode(raw, file)
    document, positions = syntax.load(origin)
    findings = Findings(origin.file, positions)
    top = Fields(document, (), "the top level", findings)
    config = _read_app(top, processes, findings)
    warnings = [
        *in_file_order(findings.warnings),
        *in_file_order(processes.findings.warnings),
    ]
    errors = [*in_file_order(findings.errors), *processes.all_problems()]
    if errors:
        raise AppTomlError(errors, warnings)
    return replace(config, warnings=tuple(warnings))


def _read_app(top: Fields, processes: procfile.Processes, findings: Findings) -> AppConfig:
    name = top.name("my-app", LONGEST_LABEL)
    read = [read_service(*entry) for entry in top.named_tables("services", "[services.NAME]")]
    all_of_them = procfile.with_processes((service for service, _ in read), processes.commands)
    services = sorted(all_of_them, key=lambda service: service.name)
    check_disks([use for _, uses in read for use in uses], findings)
    config = AppConfig(
        name,
        services=tuple(services) or (implied_service(),),
        env=read_env(top),
        build=_read_build(top),
        include=top.strings("include"),
        post_import=top.string("post_import"),
        concurrency=top.integer("concurrency", 0),
    )
    config = with_local_data(config, findings)
    check_hosts(config, findings, processes.findings)
    check_lengths(config, findings, processes.findings)
    advice.check(config, findings)
    return config


def _read_build(top: Fields) -> Build:
    table = top.table("build", "[build]")
    if table is None:
        return Build()
    return Build(
        dockerfile=table.string("dockerfile"),
        onbuild=table.strings("onbuild"),
        version=table.string("version"),
        alpine_image=table.string("alpine_image"),
    )
