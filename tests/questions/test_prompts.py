"""Prompts are what the tokenizer's own template says, with no token twice and no turn lost."""

from __future__ import annotations

import copy

import pytest
from pydantic import ValidationError
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from hneurons.errors import ChatTemplateError
from hneurons.questions import TRIVIA_QA_SUFFIX, PromptFormat

QUESTION = "What is the capital of {France}?"
WITH_BEGIN = "{{ bos_token }}"
TURNS = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] | trim }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TURNS
)
DROPS_SYSTEM = TURNS.replace("%}<{{", "%}{% if message['role'] != 'system' %}<{{").replace("</s>", "</s>{% endif %}")
INTO_USER = (
    "{% set first = messages[0]['content'] + '\n\n' if messages[0]['role'] == 'system' else '' %}"
    "<user>{{ first + messages[-1]['content'] }}</s><assistant>"
)


@pytest.fixture
def tokenizer(tiny_tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Puts nothing in front of a text; its template begins with <s>."""
    own = copy.deepcopy(tiny_tokenizer)
    own.chat_template = WITH_BEGIN + TURNS
    return own


def marking(tokenizer: PreTrainedTokenizerFast, template: str) -> PreTrainedTokenizerFast:
    """The tokenizer with special tokens put around every text, as `template` says ("<s> $A")."""
    own = copy.deepcopy(tokenizer)
    tokens = [(token, own.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=tokens)
    return own


@pytest.fixture
def begins(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Puts <s> in front of every text, as Llama's does, beside a template that writes it too."""
    return marking(tokenizer, "<s> $A")


@pytest.mark.parametrize("kind", ["tokenizer", "begins"])
@pytest.mark.parametrize("system", [None, "You are careful."])
def test_chat_equals_the_template(kind: str, system: str | None, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(kind)
    style = PromptFormat(suffix="Answer only.", system=system)
    turns = [{"role": "user", "content": f"{QUESTION} Answer only."}]
    if system:
        turns.insert(0, {"role": "system", "content": system})
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids = style.token_ids(QUESTION, tokenizer)
    assert style.text(QUESTION, tokenizer) == text
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<assistant>"), "the model's turn is open"
    assert all(type(token) is int for token in ids)


def test_the_naive_way_would_begin_twice(begins: PreTrainedTokenizerFast) -> None:
    """What the count above guards against: tokenizing the template's text as any other."""
    text = PromptFormat().text(QUESTION, begins)
    assert begins(text)["input_ids"][:2] == [begins.bos_token_id] * 2


def test_a_chat_template_without_begin_gets_none(begins: PreTrainedTokenizerFast) -> None:
    begins.chat_template = TURNS
    assert begins.bos_token_id not in PromptFormat().token_ids(QUESTION, begins)


@pytest.mark.parametrize(
    ("around", "expected_begin"), [("$A", False), ("<s> $A", True), ("<s> $A </s>", True), ("$A </s>", False)]
)
def test_plain_begins_as_the_tokenizer_does_and_never_ends(
    around: str, expected_begin: bool, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer = marking(tokenizer, around)
    ids = PromptFormat(style="plain").token_ids(QUESTION, tokenizer)
    assert tokenizer(QUESTION)["input_ids"][-1:] == [tokenizer.eos_token_id] or "</s>" not in around
    begin = [tokenizer.bos_token_id] if expected_begin else []
    text = f"Question: {QUESTION}\nAnswer:"
    assert ids == begin + tokenizer(text, add_special_tokens=False)["input_ids"]


def test_plain_template_that_writes_begin_itself(begins: PreTrainedTokenizerFast) -> None:
    ids = PromptFormat(style="plain", template="<s>Q: {question} A:").token_ids(QUESTION, begins)
    assert ids.count(begins.bos_token_id) == 1
    assert begins.decode(ids) == f"<s>Q: {QUESTION} A:"


def test_plain_needs_no_chat_template(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = None
    style = PromptFormat(style="plain", suffix="\nAnswer:", template="{question}")
    assert style.text("Who?", tokenizer) == "Who?\nAnswer:"


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [("", "Who?"), ("Briefly.", "Who? Briefly."), (" Briefly.", "Who? Briefly."), ("\nA:", "Who?\nA:")],
)
def test_suffix(suffix: str, expected: str) -> None:
    assert PromptFormat(suffix=suffix).content("Who?") == expected


def test_default_suffix_asks_for_the_answer_alone() -> None:
    assert PromptFormat(suffix=TRIVIA_QA_SUFFIX).content("Who?") == "Who? Give only the answer, with no explanation."


@pytest.mark.parametrize("system", [None, "You are careful."])
def test_no_chat_template(system: str | None, tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = None
    for ask in (PromptFormat.token_ids, PromptFormat.text):
        with pytest.raises(
            ChatTemplateError, match="has no chat template; use prompt style plain, or an instruction-tun"
        ):
            ask(PromptFormat(system=system), QUESTION, tokenizer)


def test_a_template_without_system_turns(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = NO_SYSTEM
    assert PromptFormat().text("Who?", tokenizer) == "<user>Who?</s><assistant>"
    for ask in (PromptFormat.token_ids, PromptFormat.text):
        with pytest.raises(
            ChatTemplateError, match=r"refuses the prompt \(.*System role not supported\); leave the system"
        ):
            ask(PromptFormat(system="You are careful."), QUESTION, tokenizer)


def test_a_template_that_drops_the_system_turn(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = DROPS_SYSTEM
    assert PromptFormat().text("Who?", tokenizer) == "<user>Who?</s><assistant>"
    with pytest.raises(ChatTemplateError, match="drops the system prompt; leave it out"):
        PromptFormat(system="You are careful.").token_ids(QUESTION, tokenizer)


def test_a_template_that_puts_the_system_prompt_into_the_user_turn(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = INTO_USER
    assert PromptFormat(system="Be brief.").text("Who?", tokenizer) == "<user>Be brief.\n\nWho?</s><assistant>"


def test_a_broken_template(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = "{% for %}"
    with pytest.raises(ChatTemplateError, match=r"refuses the prompt .*; use prompt style plain"):
        PromptFormat().token_ids(QUESTION, tokenizer)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template": "Answer:"}, "exactly once"),
        ({"template": "{question} {question}"}, "exactly once"),
        ({"style": "plain", "system": "x"}, "a plain prompt has no system turn"),
        ({"style": "completion"}, "chat"),
        ({"sufix": "x"}, "sufix"),
    ],
)
def test_formats_that_make_no_sense(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PromptFormat(**settings)
