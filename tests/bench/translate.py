"""How long an app.toml takes to become manifests, beside the time yaml takes to write them out.

`python -m tests.bench.translate`; measures, asserts nothing. Times are medians of runs in turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from deploy import parse, to_yaml
from tests.translated import manifests

_SIZES = (1, 1000)


def measure(rounds: int) -> None:
    """Print a line for each size of an app."""
    for services in _SIZES:
        print(f"  {services:>5} services, {_compared(app_toml(services), rounds)}", flush=True)


def _compared(text: str, rounds: int) -> str:
    made = manifests(parse(text))
    ours, dump = _medians(rounds, lambda: manifests(parse(text)), lambda: to_yaml(made))
    return (
        f"{len(made):>5} manifests: parse and translate {ours * 1e3:8.1f} ms, "
        f"yaml dump {dump * 1e3:8.1f} ms, ratio {ours / dump:.2f}"
    )


def app_toml(services: int) -> str:
    """Return an app of that many services, each with an environment, every fourth with a disk."""
    return 'name = "shop"\n' + "".join(_service(number) for number in range(services))


def _service(number: int) -> str:
    name = f"services.worker-{number}"
    env = "".join(
        f'[[{name}.env]]\nkey = "SETTING_{entry}"\nvalue = "value {entry} of {number}"\n'
        for entry in range(5)
    )
    disk = (
        f'[[{name}.disks]]\nname = "data-{number}"\nmount_path = "/data"\nsize_gb = 10\n'
        if number % 4 == 0
        else ""
    )
    command = f'[{name}]\ncommand = "bin/work --queue {number}"\nport = {3000 + number % 1000}\n'
    return f"{command}{env}{disk}"


def _medians(rounds: int, *calls: Callable[[], object]) -> list[float]:
    """Return the median seconds of each call; they take turns, so that load hits all alike."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.translate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of each measurement")
    print("the translator, app.toml to manifests:", flush=True)
    measure(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
