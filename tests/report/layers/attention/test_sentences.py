"""The words of attention: they follow the numbers, whichever way these go."""

from __future__ import annotations

from tests.report.layers.attention.made import made

from hneurons.report.layers.attention.sentences import sentences
from hneurons.report.numbers import percent, points_estimate


def test_a_planted_head_is_told_with_its_control_and_its_other_half() -> None:
    found = made()
    assert found.answers is not None
    said = " ".join(sentences(found))
    lift = found.answers.tests[0]
    assert lift.halves is not None
    strongest = lift.halves.heads[0]
    subject = next(each for each in found.answers.whole.shares if each.segment == "subject")
    assert f"{percent(subject.first)} of the attention is on the subject in faithful" in said
    assert points_estimate(subject.lift) in said
    assert f"{found.answers.n_both} of 60 combinations" in said
    assert f"at most {max(lift.permuted.most, found.answers.tests[1].permuted.most)}" in said
    assert f"{lift.halves.n_confirmed} of {lift.halves.n_chosen} are confirmed" in said
    assert f"The strongest is layer 2, head 1 on the {strongest.segment}" in said
    assert "eager attention, to which the model was switched from sdpa, read" in said
    assert "False <context>: " in said


def test_over_focus_is_said_only_where_both_measures_agree() -> None:
    more = sentences(made(effect=0.0, focus=0.05))
    assert "in hallucinated answers the model looks more at the subject, whatever its length." in more[0]
    assert "in complied cases the model looks more at the context" in more[3]
    less = sentences(made(effect=0.0, focus=-0.05))
    assert "looks less at the subject" in less[0]
    nothing = sentences(made(effect=0.0))
    assert "no sign that it looks more, or less, at the subject" in nothing[0]
    assert "no head differs after correction, so that there is none to confirm" in nothing[2]
    found = made(effect=0.0)
    assert found.answers is not None
    whole = found.answers.whole
    changed = tuple(
        each.model_copy(update={"lift": each.lift.model_copy(update={"low": 0.01, "high": 0.02})})
        if each.segment == "subject"
        else each
        for each in whole.shares
    )
    answers = found.answers.model_copy(update={"whole": whole.model_copy(update={"shares": changed})})
    assert "only one of the two leaves out 0" in sentences(found.model_copy(update={"answers": answers}))[0]


def test_what_is_missing_is_said() -> None:
    found = made().model_copy(update={"contexts": (), "missing": {"contexts": "no benchmark brings a context"}})
    assert sentences(found)[-1] == "Left out: no benchmark brings a context."
    assert "switched" not in " ".join(sentences(made(used="eager", before="eager")))
    assert found.answers is not None
    small = tuple(each.model_copy(update={"halves": None, "reason": "too small"}) for each in found.answers.tests)
    without = found.model_copy(update={"answers": found.answers.model_copy(update={"tests": small})})
    assert "Heads could not be held out: too small." in sentences(without)
