"""`hneurons models`: what is printed is what was found, to the letter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from hneurons import cli
from hneurons.models.families import FAMILIES

CONFIG = {
    "model_type": "llama",
    "vocab_size": 64,
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `models check` of a configuration and then `models` print, in a process of its own, as Typer hands commands
    a context that is none to those who check annotations."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    code = f"""
import sys
from hneurons.cli import main
for arguments in (["models", "check", {str(folder)!r}], ["models"]):
    sys.argv = ["hneurons", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code
"""
    wide = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=wide)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_configuration_alone_is_described(shown: str) -> None:
    assert "48 a layer, 96 in all" in shown
    assert "input of model.layers[l].mlp.down_proj" in shown  # brackets and all, which a terminal may take as markup
    assert "not verified" in shown


def test_every_supported_architecture_is_listed(shown: str) -> None:
    assert not [name for name in FAMILIES if name not in shown]
    assert "atlas-7m-instruct" in shown


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["hneurons", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert capsys.readouterr().out == f"hneurons {version('hneurons')}\n"


@pytest.mark.parametrize("early", [True, False])
def test_an_interruption_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], early: bool
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if early:
        monkeypatch.setattr(cli, "build", interrupt)
    else:
        monkeypatch.setattr("importlib.metadata.version", interrupt)
    monkeypatch.setattr("sys.argv", ["hneurons", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == cli.INTERRUPTED
    assert "run the same command again" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["a-file/run", "a-file"])
def test_a_run_below_a_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, out: str
) -> None:
    (tmp_path / "a-file").write_text("mine")
    monkeypatch.setattr("sys.argv", ["hneurons", "study", "--out", str(tmp_path / out)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == cli.BAD_INPUT
    assert "--out" in capsys.readouterr().err
    assert (tmp_path / "a-file").read_text() == "mine"


def test_a_mixture_of_experts_is_described(tiny_directory: Callable[..., Path]) -> None:
    code = f"""
import sys
from hneurons.cli import main
sys.argv = ["hneurons", "models", "check", {str(tiny_directory("qwen2_moe", layers=3))!r}]
main()
"""
    wide = {**os.environ, "COLUMNS": "400"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=wide)
    text = " ".join(done.stdout.split())
    assert "3 layers of 6 experts of 16 and a shared one of 20; 348 in all, 156 of them at a token (2 experts)" in text
    assert "each expert's down_proj in model.layers[l].mlp.experts and of mlp.shared_expert.down_proj" in text
    assert "the routing weight, as the model applies it, is part of a contribution" in text
    assert "of them at a token)" in text
    assert "verified on a forward pass" in text
