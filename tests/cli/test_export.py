"""`hneurons export`: the model of a run as files, if it is still the model that the probe was fitted on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import hneurons
from hneurons import cli
from hneurons.files import write_json
from hneurons.interventions import scale
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.probes.probe import make_probe
from hneurons.probes.solution import Path as SolutionPath
from hneurons.probes.solution import Solution
from hneurons.study.config import ModelSettings, make_config
from hneurons.study.run import Run

IDS = torch.tensor([[5, 17, 40, 41, 9, 30]])
NEURONS = [(0, 3), (1, 40)]


@pytest.fixture
def copy(tiny_directory: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_directory("llama"), tmp_path / "model"))


def make_run(path: Path, model: Path, weights: Sequence[float] = (1.0, -1.0, 0.5), dtype: str = "auto") -> Run:
    """A run with a probe on neurons (0, 3), (0, 9) and (1, 40)."""
    config = make_config().model_copy(update={"model": ModelSettings(name=str(model), dtype=dtype)})
    run = Run.start(path, config)
    solution = Solution(0.0316, np.array([3, 9, 88]), np.array(weights), -1.0, 0.0, 1)
    fingerprint: ModelFingerprint = hneurons.load(model, dtype=dtype, device="cpu").fingerprint
    found = SolutionPath((solution,), "none", "free", None)
    made = make_probe(
        solution,
        found,
        fingerprint,
        scheme="1-vs-1",
        other="response",
        positions="at",
        date="2025-01-02",
        questions={"train": "d1"},
    )
    made.save(run.probe)
    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run `hneurons export` with these arguments; gives the exit code and all that was printed."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["hneurons", "export", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return int(stopped.value.code or 0), " ".join((printed.out + printed.err).split())

    return run


Command = Callable[..., tuple[int, str]]


def logits(path: Path) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = hneurons.load(path, device="cpu").hf(input_ids=IDS).logits
    return found


def test_a_run_of_quantized_weights_is_refused_with_what_to_do(command: Command, copy: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", copy)
    settings = run.config.model.model_copy(update={"quantize": "nf4"})
    write_json(run.path / "config.json", run.config.model_copy(update={"model": settings}).model_dump(mode="json"))
    code, printed = command(run.path, "--alpha", 0, "--out", tmp_path / "out")
    assert code == cli.BAD_INPUT
    assert "while loading it (nf4)" in printed
    assert "scale the original weights with hneurons.interventions.export and quantize the result" in printed
    assert "at run time with hneurons.interventions.scale" in printed
    assert not (tmp_path / "out").exists()


def test_the_h_neurons_of_a_run_are_turned(command: Command, copy: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", copy)
    code, said = command(run.path, "--alpha", 2, "--out", tmp_path / "out")
    assert code == 0
    assert "2 neurons in 2 layers scaled by 2; exact" in said
    assert f"from_pretrained('{tmp_path / 'out'}')" in said
    model = hneurons.load(copy, device="cpu")
    with torch.no_grad(), scale(model, NEURONS, 2.0):
        assert torch.equal(logits(tmp_path / "out"), model.hf(input_ids=IDS).logits)
    assert not torch.equal(logits(tmp_path / "out"), logits(copy))
    record = json.loads((tmp_path / "out" / "hneurons.json").read_text())
    assert record["neurons"] == [[0, 3], [1, 40]]  # the one of negative weight is none of them
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| 0 | 3 | 1 |\n| 1 | 40 | 0.5 |" in card
    assert "has not been evaluated" in card


def test_a_model_that_has_changed_since_is_refused(command: Command, copy: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", copy)
    weights = load_file(copy / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"] *= 2
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    code, said = command(run.path, "--alpha", 2, "--out", tmp_path / "out")
    assert code == cli.BAD_INPUT
    assert "does not fit" in said
    assert "weights_digest" in said
    assert not (tmp_path / "out").exists()


def test_a_model_loaded_in_a_narrower_type_is_known_again(command: Command, copy: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", copy, dtype="bfloat16")
    assert command(run.path, "--alpha", 2, "--out", tmp_path / "out")[0] == 0


def test_a_model_whose_files_do_not_tell_is_loaded(
    command: Command, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", copy)
    monkeypatch.setattr("hneurons.models.stored.StoredModel.fingerprint", lambda *_: None)
    code, said = command(run.path, "--alpha", 2, "--out", tmp_path / "out")
    assert code == 0
    assert "do not tell its fingerprint; loading the model" in said
    assert json.loads((tmp_path / "out" / "hneurons.json").read_text())["base"]["weights_digest"] is None


def test_a_probe_without_h_neurons_is_refused(command: Command, copy: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", copy, weights=(-1.0, -1.0, -0.5))
    code, said = command(run.path, "--alpha", 2, "--out", tmp_path / "out")
    assert (code, "no neuron of positive weight" in said) == (cli.BAD_INPUT, True)


@pytest.mark.parametrize("alpha", ["-1", "nan", "inf"])
def test_factors_that_make_no_sense_are_refused(alpha: str, command: Command, copy: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", copy)
    code, said = command(run.path, f"--alpha={alpha}", "--out", tmp_path / "out")
    assert (code, "alpha is" in said) == (cli.BAD_INPUT, True)


def test_places_that_are_no_run_or_are_taken(command: Command, copy: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", copy)
    for where, message in ((tmp_path / "nowhere", "there is no run"), (run.path, "is there already")):
        code, said = command(where, "--alpha", 2, "--out", run.path)
        assert (code, message in said) == (cli.BAD_INPUT, True)
    shutil.rmtree(run.probe)
    code, said = command(run.path, "--alpha", 2, "--out", tmp_path / "out")
    assert (code, "there is no probe.json" in said) == (cli.BAD_INPUT, True)
