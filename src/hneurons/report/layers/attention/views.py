"""Lines of the tables of this part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hneurons.layers.attention.record import Contrast
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.attention.reading import NAMES, contrasts, head_name, measured, texts
from hneurons.report.numbers import percent, percent_interval, points
from hneurons.report.views import Cell
from hneurons.report.wording import in_words

LEFT_OUT = {
    "one_kind_in_its_stratum": "with no text of the other kind in its set and kind of question",
    "spelled_otherwise": "that does not encode to the tokens that were generated",
    "not_in_prompt": "whose context or question the template rewrites",
    "no_answer_span": "without an answer to be found in the reply",
    "refusal": "that declines, so that nothing is claimed",
    "unparsed": "not understood",
}
"""Why texts do not count."""


@dataclass(frozen=True)
class SegmentLine:
    """One segment of one contrast, over all layers and heads."""

    name: str
    first: str
    second: str
    uniform: str
    share: Cell
    lift: Cell


@dataclass(frozen=True)
class HeadLine:
    """A head that was chosen on one half of the groups."""

    name: str
    segment: str
    chosen: str
    held_out: Cell
    verdict: str


@dataclass(frozen=True)
class SetLine:
    """Lift on the subject in one set."""

    name: str
    n: str
    first: str
    second: str
    difference: Cell


def segment_lines(contrast: Contrast) -> list[SegmentLine]:
    """The shares of all segments."""
    return [
        SegmentLine(
            name=NAMES[each.segment],
            first=percent(each.first),
            second=percent(each.second),
            uniform=f"{percent(each.first_uniform)}, {percent(each.second_uniform)}",
            share=_cell(each.share),
            lift=_cell(each.lift),
        )
        for each in contrast.whole.shares
    ]


def head_lines(contrast: Contrast) -> list[HeadLine]:
    """Heads chosen on one half by their lift, measured on the other; none where there was no choice."""
    halves = measured(contrast, "lift").halves
    return [
        HeadLine(
            name=head_name(each),
            segment=NAMES[each.segment],
            chosen=points(each.chosen),
            held_out=_cell(each.held_out),
            verdict="confirmed" if each.confirmed else "not confirmed",
        )
        for each in (halves.heads if halves else ())
    ]


def set_lines(contrast: Contrast) -> list[SetLine]:
    """The subject's lift by set."""
    return [
        SetLine(
            name=each.eval_set,
            n=f"{each.n_first} + {each.n_second}",
            first=points(each.first),
            second=points(each.second),
            difference=_cell(each.difference),
        )
        for each in contrast.sets
    ]


def left_out_words(contrast: Contrast) -> str:
    """What does not count, by reason; empty where all do."""
    return "; ".join(f"{n} {LEFT_OUT.get(reason, in_words(reason))}" for reason, n in contrast.left_out.items())


def _cell(figure: Estimate) -> Cell:
    return Cell(points(figure.value), percent_interval(figure), figure.reason)


ATTENTION_VIEWS: dict[str, Callable[..., object]] = {
    "attention_contrasts": contrasts,
    "attention_segments": segment_lines,
    "attention_heads": head_lines,
    "attention_sets": set_lines,
    "attention_left_out": left_out_words,
    "attention_texts": texts,
}
"""What the template of this part calls."""
