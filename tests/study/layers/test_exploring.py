"""The parts of the layers: made once, kept apart by probe and settings, tried again where missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from hneurons.engine import Here
from hneurons.errors import ConfigChangedError, NotEnoughDataError, RunError
from hneurons.files import read_json, write_json
from hneurons.layers.record import Layers
from hneurons.layers.settings import PARTS, LayersSettings
from hneurons.study.asking import prompts_of
from hneurons.study.layers import exploring
from hneurons.study.layers.exploring import explore, layers_state, make_layers_settings, settings_of
from hneurons.study.layers.work import LayersWork
from hneurons.study.run import Run


class Toy(BaseModel):
    """Stands for what a part finds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    probe: str
    n: int


class ToyLayers(Layers):
    """Layers whose first part is a toy."""

    tracking: Toy | None = None  # type: ignore[assignment]


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """A copy of the small finished study."""
    shutil.copytree(finished.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every part is replaced: the first finds a toy, all others too few answers; parts that were asked, in order."""
    calls: list[str] = []

    def finder(part: str) -> Callable[[LayersWork], BaseModel]:
        def find(work: LayersWork) -> BaseModel:
            calls.append(part)
            if part != "tracking":
                raise NotEnoughDataError(f"too few answers for {part}")
            return Toy(probe=work.probe.card.tensors, n=work.settings.n_each)

        return find

    monkeypatch.setattr(exploring, "FINDERS", {part: finder(part) for part in PARTS})
    monkeypatch.setattr(exploring, "Layers", ToyLayers)
    return calls


def test_what_is_found_is_kept_and_what_is_missing_tried_again(run: Run, asked: list[str]) -> None:
    assert layers_state(run) is None
    first = explore(run, LayersSettings(n_each=12))
    assert asked == list(PARTS)
    assert first.tracking == Toy(probe=first.probe, n=12)
    assert first.missing == {part: f"too few answers for {part}" for part in PARTS[1:]}
    assert set(first.seconds) == set(PARTS)
    second = explore(run, LayersSettings(n_each=12))
    assert asked == [*PARTS, *PARTS[1:]]
    assert second.tracking == first.tracking
    assert second.seconds["tracking"] == first.seconds["tracking"]
    assert ToyLayers.model_validate(read_json(run.layers_found)) == second
    state = layers_state(run)
    assert state is not None
    assert (state.done, state.total) == (1, len(PARTS))


def test_parts_can_be_asked_one_by_one(run: Run, asked: list[str]) -> None:
    found = explore(run, LayersSettings(), ["attention"])
    assert asked == ["attention"]
    assert list(found.missing) == ["attention"]
    found = explore(run, LayersSettings(), ["tracking"])
    assert asked == ["attention", "tracking"]
    assert list(found.missing) == ["attention"]  # it is still told
    assert found.tracking is not None


def test_another_probe_is_asked_anew(run: Run, asked: list[str]) -> None:
    explore(run, LayersSettings(), ["tracking"])
    file = run.layers / "tracking.json"
    write_json(file, {**read_json(file), "probe": "another"})
    explore(run, LayersSettings(), ["tracking"])
    assert asked == ["tracking", "tracking"]


def test_other_settings_are_refused_and_nothing_is_touched(run: Run, asked: list[str]) -> None:
    explore(run, LayersSettings(n_each=12), ["tracking"])
    before = (run.layers / "settings.json").read_bytes()
    with pytest.raises(ConfigChangedError, match="n_each: 12 there, 13 now"):
        explore(run, LayersSettings(n_each=13), ["tracking"])
    assert (run.layers / "settings.json").read_bytes() == before
    assert asked == ["tracking"]


def test_a_slip_is_told_before_anything_is_done(run: Run, asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no part 'lens'"):
        explore(run, LayersSettings(), ["lens"])
    run.fit.unlink()
    with pytest.raises(RunError, match="hneurons fit"):
        explore(run, LayersSettings())
    assert asked == []
    assert not run.layers.exists()


def test_settings_come_from_the_model_then_from_what_was_begun(run: Run, asked: list[str]) -> None:
    made = make_layers_settings(run, n_each=20, n_pairs=None)
    assert made.n_each == 20
    assert [request.name for request in made.benchmarks] != []  # those of the bundled model's sweep
    explore(run, made, ["tracking"])
    assert settings_of(run) == made
    assert make_layers_settings(run) == made
    with pytest.raises(RunError, match="greater than or equal to 10"):
        make_layers_settings(run, n_each=1)


def test_answers_are_balanced_nested_and_described(run: Run) -> None:
    work = LayersWork(run, LayersSettings(n_each=10), Here())
    few, more = work.answered("in-domain"), work.answered("in-domain", n_each=15)
    for chosen, n in ((few, 10), (more, 15)):
        assert sum(each.hallucinated for each in chosen) <= n
        assert sum(not each.hallucinated for each in chosen) <= n
        assert [each.key for each in chosen] == sorted(each.key for each in chosen)
    assert {each.key for each in few} <= {each.key for each in more}
    assert sum(each.hallucinated for each in few) == 10
    for each in more:
        assert len(each.segments) == len(each.prompt_ids)
        assert each.segments.count("subject") > 0
        assert work.model.tokenizer.decode(list(each.response_ids), skip_special_tokens=True) == each.text
        if each.fork is not None:
            assert each.response_ids[each.fork.index] == each.fork.given
            assert (each.fork.correct is not None) == each.hallucinated


def test_answers_whose_question_is_not_in_the_prompt_are_left_out_and_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = LayersWork(run, LayersSettings(n_each=10), Here())
    whole = {each.key: each for each in work.answered("in-domain")}
    lost = next(iter(whole.values())).question.id
    plain = prompts_of(run, "in-domain", work.model)
    changed = [replace(each, token_ids=each.token_ids[:3]) if each.question_id == lost else each for each in plain]
    monkeypatch.setattr("hneurons.study.layers.work.prompts_of", lambda *_: changed)
    again = LayersWork(run, work.settings, Here())
    kept = [each.key for each in again.answered("in-domain")]
    assert kept == [key for key, each in whole.items() if each.question.id != lost]
    assert f"{len(whole) - len(kept)} of {len(whole)} answers of in-domain are left out: the question" in told(capsys)
    monkeypatch.setattr(
        "hneurons.study.layers.work.prompts_of",
        lambda *_: [replace(each, token_ids=each.token_ids[:3]) for each in plain],
    )
    with pytest.raises(NotEnoughDataError, match="20 of 20 answers of in-domain are left out"):
        LayersWork(run, work.settings, Here()).answered("in-domain")


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())
