"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hneurons import cli


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command with these arguments, which must fail as a user's mistake does; gives the message."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["hneurons", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == cli.BAD_INPUT
        error = capsys.readouterr().err
        assert "Traceback" not in error
        lines = [line for line in error.splitlines() if line.strip() and "━" not in line]
        assert len([line for line in lines if line.startswith("error: ")]) == 1, error
        return " ".join(lines)

    return run
