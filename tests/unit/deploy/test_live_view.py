"""What a deployment shows while it goes on."""

import sys

import pytest

from deploy.live_view import LiveView


def test_without_a_terminal_each_change_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    view = LiveView()
    view.show({"db": "waiting", "worker": "waiting"})
    view.show({"db": "waiting", "worker": "waiting"})
    view.show({"db": "waiting", "worker": "ready"})
    view.say("removed Deployment shop-old")

    assert capsys.readouterr().err.splitlines() == [
        "  db      waiting",
        "  worker  waiting",
        "  worker  ready",
        "removed Deployment shop-old",
    ]


def test_a_dumb_terminal_gets_lines_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    view = LiveView()
    view.show({"db": "waiting"})
    view.show({"db": "ready"})

    assert capsys.readouterr().err == "  db  waiting\n  db  ready\n"


def test_on_a_terminal_lines_are_written_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    view = LiveView()
    view.show({"db": "waiting", "web": "waiting"})
    view.show({"db": "ready", "web": "x" * 500})

    first, second = capsys.readouterr().err.split("\x1b[2A")
    assert first == "\x1b[2K  db   waiting\n\x1b[2K  web  waiting\n"
    assert second.startswith("\x1b[2K  db   ready\n\x1b[2K  web  xxx")
    # A line that wraps would not be written over as one.
    assert max(map(len, second.splitlines())) <= 160 + len("\x1b[2K")
