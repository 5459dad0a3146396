"""Which base model a run is held against, and how it is asked: the options, what is registered, the paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from hneurons.errors import RunError
from hneurons.models.registered import RegisteredModel
from hneurons.questions.prompts import PromptFormat
from hneurons.study import origin_settings
from hneurons.study.config import ModelSettings
from hneurons.study.origin_settings import OriginSettings, make_origin_settings

PLAIN = {"style": "plain"}
PAPER = PromptFormat(style="plain", template="{question}\nAnswer:")
OWN = {"prompt": {"style": "plain", "template": "Q: {question}\nA:"}, "sampling": {"stop": ["\n", "Q:"]}}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered model whose entry names its base, and that base, which has settings of its own."""
    models = {
        "tuned": RegisteredModel(Path("t"), "", origin={"base": {"name": "base", "dtype": "float16"}, "by": "seen"}),
        "asked": RegisteredModel(Path("t"), "", origin={"base": {"name": "base"}, "stop": ["."], "prompt": PLAIN}),
        "base": RegisteredModel(Path("b"), "", study={"model": {"dtype": "float32"}, **OWN}),
    }  # fmt: skip
    monkeypatch.setattr(origin_settings, "registered", lambda group: models)


def test_of_an_unknown_model_no_base_is_known() -> None:
    found = make_origin_settings("some/model")
    assert found == OriginSettings()
    assert (found.base, found.prompt, found.stop, found.forward, found.by) == (None, PAPER, ("\n",), True, None)


def test_a_base_that_is_named_is_loaded_as_the_run_is_and_asked_as_in_the_paper() -> None:
    own = ModelSettings(name="some/model", revision="a", dtype="bfloat16", device="cpu", trust_remote_code=True)
    found = make_origin_settings(own, base="some/base", revision="b", forward=False, by="field")
    assert found.base == ModelSettings(name="some/base", revision="b", dtype="bfloat16", device="cpu")
    assert (found.prompt, found.forward, found.by) == (PAPER, False, "field")
    assert found.base.trust_remote_code is False  # code of one model is not code of another
    assert make_origin_settings(own, base="some/base", trust_remote_code=True).base.trust_remote_code


@pytest.mark.usefixtures("known")
def test_what_is_registered_goes_before_the_paper_and_the_options_before_that() -> None:
    found = make_origin_settings(ModelSettings(name="tuned", dtype="float64", device="cpu"))
    assert found.base == ModelSettings(name="base", dtype="float16", device="cpu")
    assert found.prompt == PromptFormat(style="plain", template="Q: {question}\nA:")
    assert (found.stop, found.by) == (("\n", "Q:"), "seen")
    asked = make_origin_settings("asked")
    assert (asked.prompt, asked.stop) == (PromptFormat(style="plain"), (".",))  # as `origin` says, not as its own study
    assert asked.base.dtype == "float32"
    given = make_origin_settings("asked", template="{question} =", by="other")
    assert (given.prompt.template, given.stop, given.by) == ("{question} =", (".",), "other")
    another = make_origin_settings("tuned", base="else/where")
    assert (another.base.name, another.prompt, another.by) == ("else/where", PAPER, "seen")
    by_name = make_origin_settings("some/model", base="base")
    assert (by_name.base.dtype, by_name.stop) == ("float32", ("\n", "Q:"))


@pytest.mark.usefixtures("known")
def test_options_are_laid_over_the_settings_that_it_was_begun_with() -> None:
    begun = make_origin_settings("tuned", base="some/base", revision="r", template="{question}:", forward=False)
    assert make_origin_settings("tuned", begun=begun) == begun
    both = make_origin_settings("tuned", begun=begun, forward=True)
    assert both == begun.model_copy(update={"forward": True})
    other = make_origin_settings("tuned", begun=begun, base="other/base")
    assert (other.base.name, other.base.revision) == ("other/base", None)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(RunError, match=r"prompt\.template of tracing: .*must hold {question} exactly once"):
        make_origin_settings("some/model", base="b", template="no slot")
    with pytest.raises(RunError, match="--revision x belongs to a base model; name it with --base"):
        make_origin_settings("some/model", revision="x")
