from __future__ import annotations

import pytest
from tests.report.sweep.test_page import BAD, Tables, share
from tests.report.synthetic_origin import make_growth, make_origin

from hneurons.origins.record import Growth, Origin
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band
from hneurons.report.html import render
from hneurons.report.illustration import Illustration
from hneurons.report.origin.sentences import origin_sentences
from hneurons.study.results import Results


@pytest.fixture
def plain_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are tested elsewhere; laying them out takes most of a page's time."""
    monkeypatch.setattr(Illustration, "svg", lambda self: "<svg></svg>")


def number(found: Estimate) -> str:
    return "–" if found.value is None else f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def ends(found: Band) -> str:
    return "–" if found.low is None else f"{found.low:.3f} to {found.high:.3f}"


def p(value: float) -> str:
    return "<0.001" if value < 0.0005 else f"{value:.3f}"


def fine(value: float | None) -> str:
    return "–" if value is None else f"{value:#.3g}" if value else "0"


def check_transfer(page: Tables, results: Results, origin: Origin) -> None:
    """Backward, native and forward AUROC of every detector and control, with rank and verdict."""
    assert origin.backward is not None
    assert origin.forward is not None
    for name in ("in-domain", "long-tail", "cross-domain", "invented"):
        rows = {row[0]: row[1:] for row in page.table(f"{name}: AUROC by what")[1:]}
        back = {each.detector: each.auroc for each in origin.backward.figures if each.eval_set == name}
        forth = {each.detector: each.auroc for each in origin.forward.figures if each.eval_set == name}
        home = {each.detector: each.auroc for each in results.evaluation.detection if each.eval_set == name}
        assert len(rows) == len(back) + 4
        for detector, figure in back.items():
            assert rows[detector][:3] == [number(figure), number(home[detector]), number(forth[detector])]
        native = {each.control: each.auroc for each in results.evaluation.controls if each.eval_set == name}
        other = {each.control: each.auroc for each in origin.forward.controls if each.eval_set == name}
        findings = {each.control: each for each in origin.backward.findings if each.eval_set == name}
        for control in (each for each in origin.backward.controls if each.eval_set == name):
            found = findings[control.control]
            row = rows[f"{control.control}{control.draws} draws"]
            assert row[:3] == [ends(control.auroc), ends(native[control.control]), ends(other[control.control])]
            values = control.auroc.values
            rank = (1 + sum(value >= (found.auroc or 0) for value in values)) / (1 + len(values))
            verdict = {True: "above", False: "NOT above", None: "–"}[found.above]
            assert row[3:] == ["–" if found.above is None else p(rank), verdict]


def check_drift(page: Tables, origin: Origin) -> None:
    drift = origin.drift
    assert drift is not None
    rows = page.table("Mean rank of the H-Neurons by score")[1:]
    assert rows[0][0] == "up+down"
    held = {row[0]: row[1:] for row in rows}
    for test in drift.tests:
        verdict = "less" if test.matched_p < 0.05 else "MORE" if test.matched_p_more < 0.05 else "NOT less"
        assert test.t_p is not None
        assert held[test.score] == [
            number(test.mean_rank), p(test.t_p), ends(test.random), p(test.random_p), p(test.random_p_more),
            ends(test.matched), p(test.matched_p), p(test.matched_p_more), verdict,
        ]  # fmt: skip
    neurons = {row[0]: row[1:] for row in page.table("Drift of every H-Neuron")[1:]}
    assert len(neurons) == len(drift.hneurons)
    for each in drift.hneurons:
        row = neurons[f"L{each.neuron[0]} · {each.neuron[1]}"]
        score = f"{each.score:.2f}".replace("-", "−")
        numbers = [fine(each.up), fine(each.gate), fine(each.down), score]
        assert row == [*numbers, f"{each.rank:.3f}", f"{each.layer_rank:.3f}"]
    for row, layer in zip(page.table("Drift by layer")[1:], drift.layers, strict=True):
        n = sum(each.neuron[0] == layer.layer for each in drift.hneurons)
        told = [fine(layer.up), fine(layer.gate), fine(layer.down), f"{layer.mean_rank:.3f}"]
        assert row == [str(layer.layer), str(n), *told]


def check_asked(page: Tables, origin: Origin) -> None:
    rows = {row[0]: row[1:] for row in page.table("What atlas-7m-base made of the questions")[1:]}
    for each in origin.asked:
        verdicts = [each.verdicts[key] for key in ("correct", "incorrect", "refusal")]
        counts = [f"{n:,}" for n in (each.questions, *verdicts)]
        assert rows[each.eval_set][:7] == [*counts, share(each.accuracy), str(each.faithful), str(each.hallucinated)]
        assert f"declined {each.left_out['refusal']}" in rows[each.eval_set][7].replace("\xa0", " ")


def check_growth(page: Tables, growth: Growth) -> None:
    rows = page.table("What every checkpoint answers right")
    assert rows[0] == ["step", "frequent", "rare", "never", "H-Neurons", "random", "layer-matched", "mean rank"]
    for row, each in zip(rows[1:], growth.checkpoints, strict=True):
        moved = each.drift
        assert moved is not None
        ours = moved.hneurons
        assert row == [
            f"{each.step:,}",
            *(share(part.accuracy) for part in each.strata),
            f"{fine(ours.value)} [{fine(ours.low)}, {fine(ours.high)}]",
            *(f"{fine(found.low)} to {fine(found.high)}" for found in (moved.random, moved.matched)),
            "–" if moved.mean_rank is None else f"{moved.mean_rank:.3f}",
        ]
    for name in ("in-domain", "long-tail"):
        for row, each in zip(page.table(f"{name} over the checkpoints")[1:], growth.checkpoints, strict=True):
            refit, probe = (figure for figure in each.figures if figure.eval_set == name)
            random, matched = (control.auroc for control in each.controls if control.eval_set == name)
            assert row == [
                f"{each.step:,}", str(refit.n_hallucinated + refit.n_faithful), number(refit.auroc),
                number(probe.auroc), ends(random), ends(matched),
            ]  # fmt: skip


def test_every_number_is_the_one_of_the_record(traced: Results, plain_figures: None) -> None:
    origin, growth = traced.origin, traced.growth
    assert origin is not None
    assert growth is not None
    page = Tables(render(traced))
    check_transfer(page, traced, origin)
    check_drift(page, origin)
    check_asked(page, origin)
    check_growth(page, growth)
    other = make_origin(seed=3)
    swapped = origin.model_copy(update={"backward": origin.forward, "forward": origin.backward})
    moved = tuple(each.model_copy(update={"hallucinated": each.hallucinated + 1}) for each in origin.asked)
    for check in (
        lambda: check_transfer(page, traced, other),
        lambda: check_transfer(page, traced, swapped),
        lambda: check_transfer(page, with_other_evaluation(traced), origin),
        lambda: check_drift(page, other),
        lambda: check_asked(page, origin.model_copy(update={"asked": moved})),
        lambda: check_growth(page, make_growth(seed=3)),
    ):
        with pytest.raises(AssertionError):
            check()


def with_other_evaluation(results: Results) -> Results:
    """The H-Neurons at home have another figure."""
    rows = tuple(
        row.model_copy(update={"auroc": row.brier}) if row.detector == "H-Neurons" else row
        for row in results.evaluation.detection
    )
    changed = results.evaluation.model_copy(update={"detection": rows})
    return results.model_copy(update={"evaluation": changed})


def test_links_and_ids_are_whole_and_verdicts_stand_at_the_top(traced: Results, plain_figures: None) -> None:
    text = render(traced)
    page = Tables(text)
    assert len(page.ids) == len(set(page.ids))
    assert page.links.count("#origin") == 2
    assert all(link.removeprefix("#") in page.ids for link in page.links)
    assert {"origin-asked", "origin-transfer", "origin-drift", "origin-growth"} <= set(page.ids)
    assert {"figure-transfer", "figure-drift", "figure-growth", "figure-growth-sets"} <= set(page.ids)
    for sentence in origin_sentences(traced):
        assert page.words.count(sentence) == 2
        assert page.words.index(sentence) < page.words.index("From questions to the answers")
    assert '"{question}\\nAnswer:"' in page.words
    assert '"\\n"' in page.words
    assert "Sentence one of growth." in page.words


def test_it_stands_after_what_turning_does(swept: Results, plain_figures: None) -> None:
    text = render(swept.model_copy(update={"origin": make_origin(drift=False)}))
    assert text.index('id="turning"') < text.index('<section id="origin"') < text.index('id="stability"')


def test_without_origin_nothing_speaks_of_one(results: Results, plain_figures: None) -> None:
    page = Tables(render(results))
    assert "origin" not in page.ids
    assert "#origin" not in page.links
    assert "Where they come from" not in page.words


def test_growth_alone_and_missing_parts(results: Results, plain_figures: None) -> None:
    alone = Tables(render(results.model_copy(update={"growth": make_growth(by=None)})))
    assert "origin-growth" in alone.ids
    assert "origin-drift" not in alone.ids
    assert all(link.removeprefix("#") in alone.ids for link in alone.links)
    assert alone.table("What every checkpoint")[0][1:3] == ["in-domain", "long-tail"]
    bare = Tables(render(results.model_copy(update={"origin": make_origin(forward=False, drift=False)})))
    assert "origin-drift" not in bare.ids
    assert "Drift is missing: the base model's weights are quantized." in bare.words
    assert "Forward transfer is missing: the base model answers 12 questions" in bare.words
    assert all(row[3] == "–" for row in bare.table("in-domain: AUROC by what")[1:])
    nothing = make_origin(forward=False, backward=False, drift=False)
    assert "origin-transfer" not in Tables(render(results.model_copy(update={"origin": nothing}))).ids
    empty = make_growth().model_copy(update={"checkpoints": ()})
    assert "0 checkpoints" in Tables(render(results.model_copy(update={"growth": empty}))).words


def test_text_of_models_and_prompts_is_text(small: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the figures of this part: their names are text, too."""
    drawn, ours = Illustration.svg, ("transfer", "drift", "growth")
    monkeypatch.setattr(Illustration, "svg", lambda self: drawn(self) if self.name in ours else "<svg></svg>")
    origin = make_origin(base=BAD, forward=False)
    assert origin.backward is not None
    assert origin.drift is not None

    def bad(parts: tuple) -> tuple:  # type: ignore[type-arg]
        return tuple(
            each.model_copy(update={"eval_set": BAD} | ({"sentence": BAD} if hasattr(each, "sentence") else {}))
            for each in parts
            if each.eval_set == "in-domain"
        )

    undefined = Estimate(value=None, low=None, high=None, reason=BAD)
    told = {
        "base": origin.base.model_copy(update={"name": BAD, "weights_digest": BAD}),
        "prompt": {"template": BAD, BAD: BAD},
        "stop": (BAD,),
        "asked": tuple(
            each.model_copy(update={"eval_set": BAD, "left_out": {BAD: 1}, "accuracy": undefined})
            for each in origin.asked[:1]
        ),
        "backward": origin.backward.model_copy(
            update={part: bad(getattr(origin.backward, part)) for part in ("figures", "controls", "findings")}
        ),
        "drift": origin.drift.model_copy(
            update={"base_dtype": BAD, "tuned_dtype": BAD + "2", "median_distance": {BAD: 0.1}, "sentence": BAD}
        ),
        "missing": {BAD: BAD, "forward": BAD},
    }
    growth = make_growth(by=BAD, steps=(0, 10))
    checkpoints = tuple(
        each.model_copy(
            update={
                "name": BAD,
                "strata": tuple(part.model_copy(update={"value": BAD}) for part in each.strata[:1]),
                "figures": bad(each.figures),
                "controls": bad(each.controls),
            }
        )
        for each in growth.checkpoints
    )
    grown = growth.model_copy(update={"directory": BAD, "checkpoints": checkpoints, "sentences": (BAD,)})
    text = render(small.model_copy(update={"origin": origin.model_copy(update=told), "growth": grown}))
    page = Tables(text)
    assert {"script", "img"}.isdisjoint(page.tags)
    assert "<script" not in text
    assert page.words.count(BAD) >= 25
    assert len(page.ids) == len(set(page.ids))
