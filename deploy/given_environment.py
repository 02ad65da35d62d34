"""What variables that are given beside an app.toml, as with `--set`, mean for its app.

They count like those in the file: Miren's documentation on persistent storage promises
/miren/data/local to an app if any of its variables mentions it.
"""

from collections.abc import Mapping
from dataclasses import replace

from deploy import advice, hosts
from deploy.local_data import with_local_data_for
from deploy.model import AppConfig
from deploy.problems import Findings

_WHERE = "--set, --env-file"


def with_given(config: AppConfig, environment: Mapping[str, str]) -> AppConfig:
    """Return the app with the disks and the warnings that these variables lead to.

    The variables themselves stay in the options. An app that has been given them before, gets no
    disk twice.
    """
    findings = Findings(_WHERE, {})
    config = with_local_data_for(config, environment, findings)
    advice.check_given(config, environment, findings)
    hosts.check_given(config, environment, findings)
    return replace(config, warnings=(*config.warnings, *findings.warnings))
