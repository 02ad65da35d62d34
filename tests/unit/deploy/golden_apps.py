"""The apps in apps/, the manifests that each is expected to become, and the warnings.

`python -m tests.unit.deploy.golden_apps` writes what they become now: read the difference before
you commit it.
"""

from pathlib import Path

from deploy import Options, parse, to_yaml, translate

APPS = Path(__file__).with_name("apps")
EXPECTED = "expected.yaml"
WARNINGS = "expected-warnings.txt"
"""Only there where an app is warned about."""


def folders() -> list[Path]:
    """Return the folder of each app."""
    return sorted(path for path in APPS.iterdir() if path.is_dir())


def translated(folder: Path) -> str:
    """Return what an app becomes, with a built image of its folder's name."""
    config = parse(folder / ".miren" / "app.toml")
    return to_yaml(translate(config, Options(image=f"registry.example/{folder.name}:1")))


def warned(folder: Path) -> str:
    """Return what is told on standard error to somebody who stands in the app's folder."""
    warnings = parse(folder / ".miren" / "app.toml").warnings
    return "".join(f"warning: {warning}\n" for warning in warnings).replace(f"{folder}/", "")


def main() -> None:
    """Write all of them."""
    for folder in folders():
        (folder / EXPECTED).write_text(translated(folder), encoding="utf-8")
        (folder / WARNINGS).unlink(missing_ok=True)
        if warnings := warned(folder):
            (folder / WARNINGS).write_text(warnings, encoding="utf-8")


if __name__ == "__main__":
    main()
