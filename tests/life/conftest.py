"""A driver on an empty pool, who uses it, and a clean host afterwards."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local_driver import LocalDriver
from tests.life.app import Instance, Operator
from tests.life.host import Host

Drivers = Callable[..., LocalDriver]
Apps = Callable[..., Instance]


@pytest.fixture
def host(tmp_path: Path, pool_spec: str) -> Iterator[Host]:  # noqa: ARG001 - cleared before the pool
    """This machine; whatever a test leaves mounted is gone at its end."""
    host = Host(tmp_path)
    yield host
    host.clear()


@pytest.fixture
def drivers(tmp_path: Path, pool_spec: str, host: Host) -> Iterator[Drivers]:  # noqa: ARG001
    """Makes drivers, not yet started: `drivers("--overcommit", "1")`."""
    made: list[LocalDriver] = []

    def make(*options: str, pool: str = pool_spec) -> LocalDriver:
        folder = tmp_path / f"driver{len(made) or ''}"
        folder.mkdir()
        driver = LocalDriver(folder, pool, options=options)
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.kill()
        if driver.log.exists():  # shown when the test fails
            print(f"--- {driver.log}\n{driver.log.read_text()[-20_000:]}")


@pytest.fixture
def driver(drivers: Drivers) -> LocalDriver:
    """`miren-csi all`, running."""
    return drivers("--log-level", "debug").start()


@pytest.fixture
def operator(driver: LocalDriver) -> Operator:
    return Operator(driver)


@pytest.fixture
def app(driver: LocalDriver, tmp_path: Path) -> Apps:
    """Makes instances of an app: `app("pgdata", pod="db-1")`."""

    def make(disk: str, **how: Any) -> Instance:
        return Instance(driver, tmp_path, disk, **how)

    return make
