"""Every row by its own alpha: the answers of one batch are those of separate runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from tests.hooks import n_hooks

import hneurons
from hneurons.errors import InterventionError, ModelError, ResponseError
from hneurons.interventions import Scaling, scale, scale_rows
from hneurons.models.language_model import LanguageModel
from hneurons.responses import tree as tree_module
from hneurons.responses.sampling import Prompt, Sampling, batches, sample

ALPHAS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
NEURONS = ((0, 3), (1, 0), (1, 47), (0, 21), (1, 8))
OTHERS = ((0, 30), (1, 9))
MANY = tuple((layer, index) for layer in (0, 1) for index in range(0, 48, 2))
TEXTS = ("What is the capital of France?", "Oslo", "Who? I don't know")
WARM = Sampling(n_samples=3, temperature=0.7, top_k=50, top_p=0.95, max_new_tokens=6, seed=3)
GREEDY = Sampling(n_samples=1, temperature=0.0, max_new_tokens=6)


def ask(model: LanguageModel, texts: Sequence[str] = TEXTS) -> list[Prompt]:
    return [Prompt(f"q{n}", tuple(model.tokenizer(text)["input_ids"])) for n, text in enumerate(texts)]


def said(model: LanguageModel, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[tuple[int, ...]]]:
    return [[response.token_ids for response in own] for own in sample(model, prompts, sampling)]


def check_one_batch_against_runs(
    model: LanguageModel,
    prompts: list[Prompt],
    neurons: tuple[tuple[int, int], ...],
    sampling: Sampling,
    alphas: Sequence[float] = ALPHAS,
) -> int:
    """How many of the alphas answer differently, after checking that each answers the same both ways."""
    expected = {}
    for alpha in alphas:
        with scale(model, neurons, alpha):
            expected[alpha] = said(model, prompts, sampling)
    rows = [(Prompt(p.question_id, p.token_ids, str(a)), Scaling(neurons, a)) for a in alphas for p in prompts]
    rows = rows[1::2] + rows[0::2]  # the variants of a question need not be neighbours
    with scale_rows(model, [scaling for _, scaling in rows]):
        found = said(model, [prompt for prompt, _ in rows], sampling)
    numbers = {prompt.question_id: n for n, prompt in enumerate(prompts)}
    assert found == [expected[scaling.alpha][numbers[prompt.question_id]] for prompt, scaling in rows]
    assert said(model, prompts, sampling) == expected[1.0]  # noise does not know the variant
    return len({str(expected[alpha]) for alpha in alphas})


@pytest.mark.parametrize("sampling", [GREEDY, WARM], ids=["greedy", "warm"])
@pytest.mark.parametrize("family", ["llama", "opt"])
def test_seven_alphas_in_one_batch_equal_seven_runs(
    family: str, sampling: Sampling, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model(family)
    assert check_one_batch_against_runs(model, ask(model), MANY, sampling) > 3


def test_alphas_in_one_batch_equal_runs_of_their_own_in_every_family(
    tiny_family: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model(tiny_family)
    assert check_one_batch_against_runs(model, ask(model), MANY, WARM, alphas=(0.0, 1.0, 3.0)) > 1


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_the_same_on_the_bundled_model(temperature: float) -> None:
    model = hneurons.load("atlas-7m-instruct", dtype="float32", device="cpu")
    chats = [[{"role": "user", "content": f"What is the capital of {name}?"}] for name in ("France", "Peru", "Qumbria")]
    encoded = [model.tokenizer.apply_chat_template(c, add_generation_prompt=True, return_dict=True) for c in chats]
    prompts = [Prompt(f"q{n}", tuple(each["input_ids"])) for n, each in enumerate(encoded)]
    every = tuple((layer, index) for layer in range(model.n_layers) for index in range(0, model.n_neurons, 3))
    sampling = Sampling(n_samples=2, temperature=temperature, max_new_tokens=12, seed=5)
    assert check_one_batch_against_runs(model, prompts, every, sampling) > 3


def test_rows_that_lost_their_prompt_would_show(tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    grow = tree_module.Tree.grow

    def mixed_up(self: tree_module.Tree, parents: object, tokens: object) -> torch.Tensor:
        self._owners = self._owners[::-1].copy()
        return grow(self, parents, tokens)

    monkeypatch.setattr(tree_module.Tree, "grow", mixed_up)
    with pytest.raises(AssertionError):
        check_one_batch_against_runs(tiny_llama, ask(tiny_llama), NEURONS, WARM)


def test_several_sets_of_neurons_at_once(tiny_llama: LanguageModel) -> None:
    prompts = ask(tiny_llama)
    scalings = [Scaling(NEURONS, 3.0), Scaling(OTHERS, 0.0), Scaling((), 0.0)]
    ids = torch.tensor([prompts[0].token_ids] * 3)
    plain = tiny_llama.hf(input_ids=ids).logits
    with scale_rows(tiny_llama, scalings):
        rows = tiny_llama.hf(input_ids=ids).logits
    for row, scaling in enumerate(scalings[:2]):
        with scale(tiny_llama, scaling.neurons, scaling.alpha):
            assert torch.equal(tiny_llama.hf(input_ids=ids).logits[row], rows[row])
        assert not torch.allclose(rows[row], plain[row], atol=1e-3)
    assert torch.equal(rows[2], plain[2])


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "falcon", "phi3", "gemma2"])
def test_alpha_one_leaves_every_bit(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family)
    ids = torch.tensor([ask(model)[0].token_ids] * 2)
    plain = model.hf(input_ids=ids).logits
    with scale_rows(model, [Scaling(NEURONS, 1.0), Scaling(NEURONS, 0.5)]):
        half = model.hf(input_ids=ids).logits
    assert torch.equal(half[0], plain[0])
    assert not torch.allclose(half[1], plain[1], atol=1e-3)


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "falcon", "gpt_neox"])
def test_rows_hold_through_generate(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family)
    prompts = ask(model)[:2]
    width = max(len(prompt.token_ids) for prompt in prompts)
    ids = torch.tensor([[model.pad_id] * (width - len(p.token_ids)) + list(p.token_ids) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p.token_ids)) + [1] * len(p.token_ids) for p in prompts])
    how = {"attention_mask": mask, "max_new_tokens": 6, "do_sample": False, "pad_token_id": model.pad_id}
    scalings = [Scaling(NEURONS, 3.0), Scaling(NEURONS, 0.0)]
    with scale_rows(model, scalings):
        found = model.hf.generate(ids, **how)
    for row, scaling in enumerate(scalings):
        with scale(model, scaling.neurons, scaling.alpha):
            assert torch.equal(model.hf.generate(ids, **how)[row], found[row])
    assert not torch.equal(model.hf.generate(ids, **how), found)


@pytest.mark.parametrize("how", [{"num_return_sequences": 2, "do_sample": True}, {"num_beams": 2}])
def test_rows_that_belong_to_nobody_are_refused(how: dict[str, object], tiny_llama: LanguageModel) -> None:
    ids = torch.tensor([ask(tiny_llama)[0].token_ids] * 2)
    with scale_rows(tiny_llama, [Scaling(NEURONS, 0.0)] * 2):
        with pytest.raises(InterventionError, match=r"4 rows .* set up for 2; .* one entry for each"):
            tiny_llama.hf.generate(ids, max_new_tokens=3, **how)
        with pytest.raises(InterventionError, match="a batch of 3 prompts"):
            sample(tiny_llama, ask(tiny_llama), GREEDY)


def test_blocks_nest_with_others(tiny_llama: LanguageModel) -> None:
    ids = torch.tensor([ask(tiny_llama)[0].token_ids] * 2)
    with scale(tiny_llama, NEURONS, 6.0):
        six = tiny_llama.hf(input_ids=ids).logits
    with scale(tiny_llama, NEURONS, 2.0), scale_rows(tiny_llama, [Scaling(NEURONS, 3.0), Scaling(NEURONS, 1.0)]):
        both = tiny_llama.hf(input_ids=ids).logits
    with scale(tiny_llama, NEURONS, 2.0):
        two = tiny_llama.hf(input_ids=ids).logits
    assert torch.allclose(both[0], six[0], atol=1e-5)
    assert torch.equal(both[1], two[1])
    assert not torch.allclose(both[0], two[0], atol=1e-3)


def test_what_makes_no_sense_is_refused_and_leaves_nothing(tiny_llama: LanguageModel) -> None:
    with pytest.raises(InterventionError, match="no scaling"), scale_rows(tiny_llama, []):
        pass
    with pytest.raises(InterventionError, match="alpha is"), scale_rows(tiny_llama, [Scaling(NEURONS, -1.0)]):
        pass
    bad = [Scaling(NEURONS, 2.0), Scaling(((9, 0),), 2.0)]
    with pytest.raises(ModelError, match="has no neuron"), scale_rows(tiny_llama, bad):
        pass
    assert n_hooks(tiny_llama) == 0
    assert tiny_llama.rows is None


def test_prompts_of_one_question_need_variants(tiny_llama: LanguageModel) -> None:
    same = [Prompt("q", (5, 6), "a"), Prompt("q", (5, 6), "b"), Prompt("p", (5, 6))]
    assert [p.variant for p in batches(same[::-1], 3)[0]] == ["", "a", "b"]
    with pytest.raises(ResponseError, match="question id 'q' and the variant 'a'"):
        batches([*same, Prompt("q", (7,), "a")], 2)
