"""What is said follows from the numbers, in every branch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.report.synthetic_compare import compared, make_run, make_three

from hneurons.compliance.record import Sweep
from hneurons.probes.bootstrap import Estimate
from hneurons.report.comparison import sentences
from hneurons.report.comparison.reading import Sized, size, trend
from hneurons.study.results import Results
from hneurons.study.side_by_side import RunFound, SideBySide

Slope = tuple[float, float, float] | None


def with_slopes(
    slopes: Sequence[Slope], parameters: Sequence[int | None] = (1_100_000, 3_500_000, 7_100_000)
) -> SideBySide:
    return compared(
        [
            make_run(f"org/m{k}", many, neurons=((0, k), (1, 1)), layers=2, slope=slope)
            for k, (slope, many) in enumerate(zip(slopes, parameters, strict=False))
        ]
    )


def swept(results: Results) -> Sweep:
    assert results.sweep is not None
    return results.sweep


WIDE = 0.03
STEEP = ((0.31, 0.29, 0.33), (0.26, 0.24, 0.28), (0.22, 0.20, 0.24))


def around(*values: float, half: float = WIDE) -> list[Slope]:
    return [(value, value - half, value + half) for value in values]


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [
        (
            around(0.031, 0.026, 0.022),
            "is +3.1 at 1.1M, +2.6 at 3.5M and +2.2 at 7.1M parameters: it falls with size, as in the paper (small "
            "models are steeper), but the intervals of the smallest and the largest overlap.",
        ),
        (
            list(STEEP),
            "it falls with size, as in the paper (small models are steeper); the intervals of the smallest and the "
            "largest do not overlap.",
        ),
        (
            around(0.01, 0.02, 0.03),
            "it rises with size, against the paper (small models are steeper), but the intervals",
        ),
        (
            around(0.01, 0.03, 0.02),
            "it neither rises nor falls with size throughout (the larger of two has the lower in 1 of 3 pairs), while "
            "in the paper small models are steeper; the intervals of the smallest and the largest overlap.",
        ),
        (around(0.02, 0.02, 0.02), "it does not change with size, while in the paper small models are steeper"),
        (
            around(-0.01, -0.02, -0.03),
            "it falls with size, but in the smallest it is not positive, which is not the paper's finding",
        ),
    ],
)
def test_how_slopes_go_with_size_is_said_beside_the_paper(slopes: list[Slope], expected: str) -> None:
    assert expected in sentences.slope_sentence(with_slopes(slopes))


def test_averages_are_held_against_their_controls() -> None:
    """The controls of the invented sweep lie within three points of 0."""
    controls = [
        each.value or 0.0 for key, each in swept(make_three()[0]).average_slope.items() if not key.startswith("H-")
    ]
    steepest = max(map(abs, controls))
    more, less = steepest + 0.001, steepest - 0.001

    def said(*values: float) -> str:
        return sentences.slope_sentence(with_slopes(around(*values)))

    than = "steeper, up or down, than every control's."
    assert said(more, -more, more).endswith(f"All averages are {than}")
    assert said(more, more).endswith(f"Both averages are {than}")
    assert said(more, less, less).endswith(f"Of 3 averages, 1 is {than}")
    assert said(more, -more, less).endswith(f"Of 3 averages, 2 are {than}")
    assert said(less, less).endswith(f"NO average is {than}")


def test_who_was_not_swept_is_counted() -> None:
    said = sentences.slope_sentence(with_slopes([*around(0.1), None, None]))
    assert said.endswith("It is steeper, up or down, than every control's. 2 runs were not swept.")
    assert "with size" not in said
    assert sentences.slope_sentence(with_slopes([None, None])) == "No average slope is defined. 2 runs were not swept."


def test_averages_over_other_benchmarks_do_not_compare() -> None:
    runs = make_three()
    other = swept(runs[1]).model_copy(update={"alphas": (0.0, 1.0)})
    runs[1] = runs[1].model_copy(update={"sweep": other})
    said = sentences.slope_sentence(compared(runs))
    assert "these are not averages over the same, so they do not compare" in said
    assert "with size" not in said
    assert "over other benchmarks, cases or alphas" in " ".join(sentences.cautions(compared(runs)))


def test_auroc_is_told_set_by_set() -> None:
    runs = make_three()
    found = compared(runs)
    said = sentences.set_sentence(found, "in-domain")
    values = [
        f"{row.auroc.value:.3f}"
        for each in runs
        for row in each.evaluation.detection
        if (row.eval_set, row.detector) == ("in-domain", "H-Neurons")
    ]
    assert said == (
        f"On in-domain, the probe's AUROC is {values[0]} at 1.1M, {values[1]} at 3.5M and {values[2]} at 7.1M "
        "parameters: it rises with size, but the intervals of the smallest and the largest overlap. Refitted, the "
        "H-Neurons beat random ones in all 3 runs."
    )
    assert "do NOT beat random ones in any of 3 runs." in sentences.set_sentence(found, "cross-domain")
    assert "On invented" not in sentences.auroc_sentence(found)


def test_where_only_some_beat_random_neurons_that_is_counted() -> None:
    runs = make_three()
    lost = tuple(each.model_copy(update={"better": False}) for each in runs[1].comparisons)
    runs[1] = runs[1].model_copy(update={"comparisons": lost})
    assert "beat random ones in 2 of 3 runs only." in sentences.set_sentence(compared(runs), "in-domain")
    assert "beat random ones in both runs." in sentences.set_sentence(compared([runs[0], runs[2]]), "in-domain")


def test_other_questions_are_not_read_as_a_trend() -> None:
    runs = make_three()
    sets = {**runs[1].sets, "in-domain": {**runs[1].sets["in-domain"], "digest": "other"}}
    found = compared([runs[0], runs[1].model_copy(update={"sets": sets}), runs[2]])
    said = sentences.set_sentence(found, "in-domain")
    assert "the questions are not the same, so these do not compare" in said
    assert "with size" not in said
    assert sentences.cautions(found) == [
        "The evaluation set in-domain does not hold the same questions everywhere: one and three on the one hand, two "
        "on the other."
    ]


def test_training_and_settings_that_differ_are_told() -> None:
    runs = make_three()
    assert sentences.cautions(compared(runs)) == []
    sets = {**runs[0].sets, "train": {**runs[0].sets["train"], "digest": "other"}}
    config = {**runs[0].config, "seed": 7}
    runs[0] = runs[0].model_copy(update={"sets": sets, "config": config})
    told = sentences.cautions(compared(runs))
    assert told[0].startswith("The runs were not fitted on the same training questions: two and three on the one hand")
    assert told[1] == "The runs differ in seed, so that figures may differ for that reason alone."


def test_the_share_is_told_with_what_it_is_worth() -> None:
    said = sentences.ratio_sentence(compared(make_three()))
    assert said.startswith("The share of H-Neurons is 1.30‰ at 1.1M, 1.46‰ at 3.5M and 0.49‰ at 7.1M parameters: it ne")
    assert "in 2 of 3 pairs" in said
    assert "so it has no interval; selections from two halves of the questions overlap by 0.48." in said


def test_depth_is_held_against_an_even_spread() -> None:
    runs = [
        make_run("org/early", 1000, neurons=[(0, i) for i in range(9)] + [(1, 0)], layers=4),
        make_run("org/late", 2000, neurons=[(3, i) for i in range(9)] + [(2, 0)], layers=4),
        make_run("org/even", 3000, neurons=[(i % 4, i) for i in range(12)], layers=4),
    ]
    said = sentences.depth_sentence(compared(runs))
    assert "is 0.15 at 1.0K, 0.85 at 2.0K and 0.50 at 3.0K parameters" in said
    assert said.endswith("the mean is clearly later in 1, clearly earlier in 1 and not clearly either in 1.")
    bare = [make_run(name, 5, neurons=(), layers=4) for name in ("a", "b")]
    assert sentences.depth_sentence(compared(bare)) == "There are no H-Neurons whose depth could be compared."


def test_a_few_models_are_called_few() -> None:
    runs = make_three()
    assert sentences.summary(compared(runs)) == (
        "Three finished runs of three models, from 1.1M to 7.1M parameters. Three models are few: this shows how they "
        "differ, and only hints at what size does."
    )
    runs[1] = runs[1].model_copy(update={"model": runs[1].model.model_copy(update={"model_type": "gpt2"})})
    assert sentences.summary(compared(runs)).endswith("what size does. They differ in more than size.")
    one_size = compared(make_three(parameters=7_000_000))
    assert sentences.summary(one_size) == "Three finished runs of three models, all of 7.0M parameters."
    unknown = compared(make_three(parameters=None))
    assert sentences.summary(unknown).endswith("Of 3 runs, the number of parameters is not known.")
    alike = compared([runs[0], runs[0]], ["a", "b"])
    assert sentences.summary(alike).startswith("Two finished runs of one model, all of 1.1M parameters.")
    many = compared([make_run(f"m{k}", 1000 + k, neurons=((0, 1),), layers=2) for k in range(12)])
    assert "few" not in sentences.summary(many)
    assert sentences.summary(many).startswith("12 finished runs of 12 models")


def test_of_many_runs_the_ends_are_told() -> None:
    many = compared([make_run(f"m{k}", 10**k, neurons=((0, 0),), layers=k + 2) for k in range(8)])
    said = sentences.ratio_sentence(many)
    assert "is between 0.11‰ (m7) and 0.49‰ (m0): it falls with size." in said


def test_runs_of_one_size_are_told_by_name_and_without_a_trend() -> None:
    said = sentences.ratio_sentence(compared(make_three(parameters=7_000_000)))
    assert "1.30‰ in one, 1.46‰ in two and 0.49‰ in three." in said
    assert "with size" not in said


def run_of(parameters: int | None) -> RunFound:
    base = compared(make_three()).runs[0]
    return base.model_copy(update={"parameters": parameters})


def sized(*found: tuple[int | None, float | None, float | None]) -> list[Sized]:
    """(parameters, value, half the interval)."""
    return [
        Sized(
            run_of(parameters),
            Estimate(
                value=value,
                low=None if value is None or half is None else value - half,
                high=None if value is None or half is None else value + half,
            ),
        )
        for parameters, value, half in found
    ]


def test_a_trend_asks_every_pair_of_different_size() -> None:
    assert trend(sized((1, 0.5, 0.1))) is None
    assert trend(sized((1, 0.5, 0.1), (1, 0.6, 0.1), (None, 0.9, 0.1), (2, None, None))) is None
    up = trend(sized((3, 0.9, 0.1), (1, 0.5, 0.1), (2, 0.7, 0.1)))
    assert up is not None
    assert (up.direction, up.rising, up.falling, up.pairs, up.apart) == ("rises", 3, 0, 3, True)
    tied = trend(sized((1, 0.5, 0.1), (1, 0.65, 0.1), (2, 0.6, 0.1)))
    assert tied is not None
    assert (tied.direction, tied.rising, tied.falling, tied.pairs, tied.apart) == ("neither", 1, 1, 2, False)
    bare = trend(sized((1, 0.5, None), (2, 0.4, 0.1)))
    assert bare is not None
    assert (bare.direction, bare.apart) == ("falls", None)
    assert trend(sized((1, 0.5, 0.1), (2, 0.5, 0.1))).direction == "stays"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("parameters", "written"),
    [
        (None, "–"), (950, "950"), (1_100_000, "1.1M"), (7_110_000, "7.1M"), (999_960, "1.0M"),
        (70_600_000_000, "70.6B"), (124_000_000, "124M"), (1_000_000_000_000, "1.0T"),
        (405_000_000_000, "405B"), (3_000, "3.0K"),
    ],
)  # fmt: skip
def test_sizes_are_short(parameters: int | None, written: str) -> None:
    assert size(parameters) == written
