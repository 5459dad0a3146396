"""What the figures and words of mediation and ablation show is what was found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from tests.report.layers.causality.traced import make_causality
from tests.report.test_html import Page

from hneurons.layers.causality.ablation import HOWS
from hneurons.layers.causality.mediation import Asked, Readings
from hneurons.layers.causality.mediation_record import Ablation, Component, Mediation
from hneurons.layers.causality.record import Causality
from hneurons.layers.causality.summing import ablation, mediation
from hneurons.layers.record import Layers
from hneurons.report.html import _environment
from hneurons.report.layers.causality.mediation import mediation_illustrations, mediation_sentences
from hneurons.report.layers.parts import parts_shown
from hneurons.report.look import DARK, LIGHT
from hneurons.report.numbers import decimal, p_value

LAYERS, PAIRS, ANSWERS = 3, 12, 24
PARTS = [Component(kind=kind, layer=layer) for kind in ("attention", "ffn") for layer in range(LAYERS)]
NEURONS = Component(kind="neurons")
NIE = [0.6, 0.0, 0.1, 0.9, 0.05, 0.2]
"""Share of the total effect that each of `PARTS` mediates in every pair."""


def mediated(neurons: float = 0.0) -> Mediation:
    """A total effect of 10 nats and of .5 in probability; nothing interacts; an unrelated run brings half as much."""
    random = np.random.default_rng(0)
    totals = np.stack([random.uniform(9, 11, PAIRS), random.uniform(0.45, 0.55, PAIRS)], axis=1)
    runs = np.stack([totals + np.array([-5, 0.1]), np.broadcast_to([-5, 0.1], (PAIRS, 2))], axis=1)
    asked = [Asked(part, "all", True) for part in PARTS] + [Asked(NEURONS, "all")] * 4
    patched = np.full((PAIRS, len(asked), 4, 2), np.nan)
    for number, share in enumerate([*NIE, neurons, 0.01, 0.02, 0.03]):
        patched[:, number, 0] = runs[:, 1] + share * totals
        patched[:, number, 1] = runs[:, 1] + (1 - share) * totals
        if number < len(PARTS):
            patched[:, number, 2] = runs[:, 1] + share / 2 * totals
            patched[:, number, 3] = patched[:, number, 1]
    groups = np.array([f"g{i}" for i in range(PAIRS)])
    return mediation(Readings(runs, patched), asked, groups, draws=3, resamples=50, seed=0)


def without(worse: float) -> Ablation:
    """Every answer loses .5 nats by every ablation; hallucinated ones `worse` more by that of attention 1."""
    random = np.random.default_rng(0)
    intact = np.stack([random.normal(-1, 0.1, ANSWERS), random.normal(size=ANSWERS), np.ones(ANSWERS)], axis=1)
    hallucinated = np.arange(ANSWERS) % 2 == 0
    intact[~hallucinated, 1] = np.nan
    ablated = [intact - [0.5, 0, 0] + random.normal(0, 0.1, (3, ANSWERS, 3)) for _ in range(len(PARTS) + 1)]
    ablated[1][:, hallucinated, 0] -= worse
    return ablation(
        intact,
        ablated,
        [*PARTS, NEURONS],
        [intact + random.normal(0, 0.01, (3, ANSWERS, 3)) for _ in range(3)],
        hallucinated=hallucinated,
        strata=np.array(["s"] * ANSWERS),
        groups=np.array([f"g{i}" for i in range(ANSWERS)]),
        eval_sets=["s"],
        left_out={},
        n_reference=10,
        resamples=50,
        permutations=199,
        seed=0,
    )


def found(**given: Any) -> Causality:
    return Causality.model_construct(**({"mediation": None, "ablation": None, "missing": {}} | given))


def panel(figure: Figure, name: str) -> Any:
    return next(axes for axes in figure.axes if axes.get_gid() == name)


def marked(axes: Any, marker: str, colour: str) -> list[float]:
    """Heights of the marks of one colour, from left to right."""
    lines = [line for line in axes.lines if line.get_marker() == marker and to_hex(line.get_color()) == colour]
    return [float(y) for line in lines for y in line.get_ydata() if line.get_fillstyle() != "none"]


def test_shares_stand_in_their_panels() -> None:
    (shown,) = mediation_illustrations(found(mediation=mediated()))
    figure = shown.figure(LIGHT)
    assert shown.name == "layers-causality-mediation"
    for kind, start in (("attention", 0), ("ffn", LAYERS)):
        for measure in ("difference", "probability"):
            axes = panel(figure, f"mediation:{measure}:{kind}")
            np.testing.assert_allclose(marked(axes, "o", LIGHT.data), NIE[start : start + LAYERS], atol=1e-9)
            direct = [1 - share for share in NIE[start : start + LAYERS]]
            np.testing.assert_allclose(marked(axes, "o", LIGHT.ink), direct, atol=1e-9)
            half = [share / 2 for share in NIE[start : start + LAYERS]]
            np.testing.assert_allclose(marked(axes, "x", LIGHT.soft), half, atol=1e-9)


def test_changes_stand_in_their_panels_and_differences_are_ringed() -> None:
    own = without(worse=2.0)
    (shown,) = mediation_illustrations(found(ablation=own))
    figure = shown.figure(LIGHT)
    for how in HOWS:
        for kind in ("attention", "ffn"):
            axes = panel(figure, f"ablation:{kind}:{how}")
            each = [one for one in own.ablated if (one.component.kind, one.how) == (kind, how)]
            wrong = [one.hallucinated.logprob.value for one in each]
            right = [one.faithful.logprob.value for one in each]
            assert marked(axes, "o", LIGHT.signal)[:LAYERS] == pytest.approx(wrong)
            assert marked(axes, "s", LIGHT.data)[:LAYERS] == pytest.approx(right)
            rings = [line.get_gid() for line in axes.lines if str(line.get_gid()).startswith("sure:")]
            assert rings == (["sure:attention 1"] if kind == "attention" else [])
        axes = panel(figure, f"ablation:ffn:{how}")
        assert [label.get_text() for label in axes.get_xticklabels()][-1] == "H-N."
        assert any(line.get_gid() == f"random:{how}" for line in axes.lines)


def test_words_say_what_is_there() -> None:
    said = " ".join(mediation_sentences(found(mediation=mediated(), ablation=without(worse=2.0))))
    assert "FFN 0 (90.0%" in said
    assert "attention 0 (60.0%" in said
    assert "up to 45.0%" in said  # half of what the FFN brings
    assert "H-Neurons together mediate 0.0%" in said
    assert "does not go through them" in said
    assert "lose more than faithful ones without attention 1" in said
    assert "3 of 21 ablations (7 components, 3 ways)" in said


def test_words_follow_the_numbers() -> None:
    carries = " ".join(mediation_sentences(found(mediation=mediated(neurons=0.5))))
    assert "They carry some of what decides" in carries
    nothing = " ".join(mediation_sentences(found(ablation=without(worse=0.0))))
    assert "In none of 21 ablations" in nothing
    less = " ".join(mediation_sentences(found(ablation=without(worse=-2.0))))
    assert "lose less than faithful ones without attention 1" in less


def test_what_is_missing_is_not_drawn() -> None:
    nothing = found(missing={"mediation": "there are no pairs"})
    assert mediation_illustrations(nothing) == []
    assert mediation_sentences(nothing) == []


def test_a_figure_is_small_and_follows_the_look() -> None:
    shown = mediation_illustrations(found(mediation=mediated(), ablation=without(worse=2.0)))[0]
    assert len(shown.svg()) < 120_000
    assert to_hex(shown.figure(DARK).legends[0].get_title().get_color()) == DARK.ink


def test_the_page_has_both_tables() -> None:
    own = make_causality(mediation=mediated(), ablation=without(worse=2.0))
    parts = parts_shown(Layers(settings={}, probe="x", seconds={}, missing={}, causality=own))
    figures = {each.name: (each, Markup("<svg></svg>")) for part in parts for each in part.illustrations}
    assert {"layers-causality-mediation", "layers-causality-ablation"} <= set(figures)
    page = Page(_environment().get_template("layers.html").render(layer_parts=parts, figures=figures))
    assert not page.open
    rows = page.table("Shares of the total effect")
    assert [row[0] for row in rows[1:]] == [
        *("FFN 0", "attention 0", "FFN 2", "attention 2", "FFN 1", "attention 1", "H-Neurons")
    ]
    assert [rows[1][place].partition(" ")[0] for place in (1, 2, 4, 5, 6, 7)] == [
        *("90.0%", "–", "10.0%", "45.0%", "90.0%", "45.0%")
    ]
    rows = page.table("Change of the log-probability of the given token")
    assert {row[0] for row in rows[1:4]} == {"attention 1"}
    assert {row[1] for row in rows[1:4]} == {"set to zero", "set to its mean", "resampled"}
    assert [row[0] for row in rows[-3:]] == ["H-Neurons"] * 3
    zero = next(each for each in own.ablation.ablated if each.component == PARTS[1] and each.how == "zero")
    (row,) = [row for row in rows[1:4] if row[1] == "set to zero"]
    assert row[2].startswith(decimal(zero.hallucinated.logprob.value))
    assert row[4].startswith(decimal(zero.difference.value))
    assert row[8] == p_value(zero.q)


def test_a_page_without_them_has_no_empty_tables() -> None:
    parts = parts_shown(Layers(settings={}, probe="x", seconds={}, missing={}, causality=make_causality()))
    figures = {each.name: (each, Markup("<svg></svg>")) for part in parts for each in part.illustrations}
    page = Page(_environment().get_template("layers.html").render(layer_parts=parts, figures=figures))
    assert not any(caption.startswith(("Shares of the total", "Change of the log")) for caption in page.captions)
