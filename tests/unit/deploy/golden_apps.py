"""The apps in apps/, and the manifests that each is expected to become.

`python -m tests.unit.deploy.golden_apps` writes what they become now: read the difference before
you commit it.
"""

from pathlib import Path

from deploy import Options, parse, to_yaml, translate

APPS = Path(__file__).with_name("apps")
EXPECTED = "expected.yaml"


def folders() -> list[Path]:
    """Return the folder of each app."""
    return sorted(path for path in APPS.iterdir() if path.is_dir())


def translated(folder: Path) -> str:
    """Return what an app becomes, with a built image of its folder's name."""
    config = parse(folder / ".miren" / "app.toml")
    return to_yaml(translate(config, Options(image=f"registry.example/{folder.name}:1")))


def main() -> None:
    """Write all of them."""
    for folder in folders():
        (folder / EXPECTED).write_text(translated(folder), encoding="utf-8")


if __name__ == "__main__":
    main()
