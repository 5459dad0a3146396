"""The comparison of methods on a small finished run: what is asked, that it can be stopped, that figures are right."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hneurons.compliance.benchmark import BenchmarkRequest
from hneurons.engine import Here
from hneurons.interventions import scale
from hneurons.kept import Arrays
from hneurons.layers.mitigation.methods import Method, scaled
from hneurons.layers.mitigation.record import Mitigation
from hneurons.layers.settings import LayersSettings
from hneurons.responses.judging import judge
from hneurons.responses.sampling import sample
from hneurons.study.asking import read_questions
from hneurons.study.judging import read_judged
from hneurons.study.layers import mitigation, mitigation_terms, mitigation_tuning
from hneurons.study.layers.mitigation import find_mitigation
from hneurons.study.layers.mitigation_terms import Terms
from hneurons.study.layers.mitigation_tuning import Tuned
from hneurons.study.layers.work import LayersWork
from hneurons.study.run import Run

SMALL = {
    mitigation: {"N_DRAWS": 2, "TIMED": 4, "ROUNDS": 1},
    mitigation_terms: {"N_QUESTIONS": 24, "N_KNOWN": 6, "N_CASES": 3, "N_PASSAGES": 4, "N_TUNED": 12},
    mitigation_tuning: {"STRENGTHS": (0.2,), "FACTORS": (4.0,), "N_EARLY": 1},
}
SETTINGS = LayersSettings(n_each=12, n_bootstrap=50, benchmarks=(BenchmarkRequest(name="atlas/context"),))


@pytest.fixture(scope="module")
def work(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LayersWork]:
    """A copy of the small study that may be written to, asked little."""
    path: Path = tmp_path_factory.mktemp("mitigation") / "run"
    shutil.copytree(finished.path, path)
    with pytest.MonkeyPatch.context() as patch:
        for module, values in SMALL.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        yield LayersWork(Run.open(path), SETTINGS, Here())


@pytest.fixture(scope="module")
def terms(work: LayersWork) -> Terms:
    return Terms(work)


@pytest.fixture(scope="module")
def found(work: LayersWork) -> Mitigation:
    """One method, as if nothing else could be had."""
    method = scaled(mitigation_tuning.ZERO, work.probe.hneurons, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mitigation, "tune", lambda work, terms: Tuned((method,), None, (), (), {"Steering": "no states"}))
        return find_mitigation(work)


@pytest.mark.slow
def test_all_methods_on_equal_terms(work: LayersWork) -> None:
    found = find_mitigation(work)
    assert [each.kind for each in found.methods] == [
        "unchanged", "scaling", "scaling", "gated", "steering", "attention", "contrast", "abstention", "abstention",
    ]  # fmt: skip
    assert found.questions == {"in-domain": 12, "invented": 12}
    assert found.known_questions == 6
    assert found.cases == {"atlas/context": 3}
    assert not found.missing
    intact = found.methods[0]
    assert intact.hallucinated.change.value == intact.known.change.value == intact.altered == 0
    assert intact.perplexity.value == intact.price.tokens == 1
    assert intact.compliance is not None
    for each in found.methods:
        shares = [each.correct.value.value, each.hallucinated.value.value, each.refused.value.value]
        assert sum(share or 0 for share in shares) == pytest.approx(1)
        own = each.hallucinated
        assert own.change.value == pytest.approx((own.value.value or 0) - (intact.hallucinated.value.value or 0))
    assert any(each.altered > 0 for each in found.methods)
    tuned = {each.name for each in found.methods if each.tuned} - {mitigation_tuning.GATED}
    assert {each.method for each in found.tried if each.chosen} == tuned
    assert [control.method for control in found.controls] == [
        mitigation_tuning.ZERO, mitigation_tuning.STEERING, mitigation_tuning.BY_PROBE, mitigation_tuning.BY_SURPRISE,
    ]  # fmt: skip
    assert [each.layer for each in found.steering] == list(range(6))
    silent = found.methods[-2]
    assert silent.perplexity.value == 1
    assert silent.price.tokens > 1.3  # one more pass over prompt and answer
    assert found.methods[3].price.tokens > 1


def test_nothing_is_tuned_on_what_is_reported(work: LayersWork, terms: Terms) -> None:
    tuned = {put.question.id for put in terms.tuning}
    training = {question.id: question for question in read_questions(work.run, "train")}
    assert tuned <= set(training)
    fitted = {answer.group for answer in read_judged(work.run).answers["train"] if answer.part == "fit"}
    assert not {training[each].split_key for each in tuned} & fitted
    assert not tuned & {put.question.id for put in (*terms.known, *terms.questions)}
    kinds = {answer.question_id for name in work.names for answer in read_judged(work.run).answers[name]}
    assert {put.question.id for put in terms.questions} - kinds  # not only what was used elsewhere
    numbers = sorted(number for chunk in terms.chunks["questions"] for number in chunk)
    assert numbers == list(range(24))


def test_a_share_by_hand(work: LayersWork, terms: Terms, found: Mitigation) -> None:
    with scale(work.model, work.probe.hneurons, 0.0):
        said = sample(work.model, [put.prompt for put in terms.questions], terms.sampling)
    verdicts = [judge(own.text, put.question) for (own,), put in zip(said, terms.questions, strict=True)]
    assert found.methods[1].hallucinated.value.value == pytest.approx(verdicts.count("incorrect") / len(verdicts))
    assert found.methods[1].correct.value.value == pytest.approx(verdicts.count("correct") / len(verdicts))


def test_what_cannot_be_had_is_missing(found: Mitigation) -> None:
    assert [each.name for each in found.methods] == ["Unchanged", mitigation_tuning.ZERO]
    assert (found.steering, found.depths, found.missing) == ((), None, {"Steering": "no states"})
    (control,) = found.controls
    assert len(control.hallucinated) == len(control.known) == len(control.compliance) == 2


def test_it_goes_on_where_it_stopped(work: LayersWork, found: Mitigation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is the same; what is there is not asked again, and what is missing is."""
    asked: list[str] = []
    before, method = Terms.ask, scaled(mitigation_tuning.ZERO, work.probe.hneurons, 0.0)

    def ask(self: Terms, method: Method, what: str, number: int) -> Arrays:
        asked.append(what)
        return before(self, method, what, number)

    monkeypatch.setattr(Terms, "ask", ask)
    tuned = Tuned((method,), None, (), (), {"Steering": "no states"})
    monkeypatch.setattr(mitigation, "tune", lambda work, terms: tuned)
    parts = sorted(work.folder("mitigation").glob("methods-*/part-*.safetensors"))
    for part in parts[2:5:2]:
        part.unlink()
    assert find_mitigation(work) == found
    assert len(asked) == 2
