"""Everything that a method is measured by, asked of each in the same way: prompts, decoding, noise, order, batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from torch import Tensor

from hneurons.compliance.benchmark import Benchmark, Case
from hneurons.compliance.chats import NEXT_QUESTION, case_ids, turns_of
from hneurons.compliance.playing import Reply
from hneurons.compliance.reading import Loss, read
from hneurons.interventions.sites import attach
from hneurons.layers.mitigation.methods import Method, Shown, shown_case
from hneurons.models.language_model import LanguageModel
from hneurons.responses.sampling import Prompt, Sampling, sample


@dataclass(frozen=True)
class Said:
    """What was said in the end, how many tokens the model generated for it, and whether that hit the cap."""

    text: str
    n_tokens: int
    cut_off: bool


def answer(
    model: LanguageModel, method: Method, prompts: Sequence[Prompt], shown: Sequence[Shown], sampling: Sampling
) -> list[Said]:
    """One response to each prompt of a batch under a method; `shown[i]` describes `prompts[i]`.

    The noise belongs to the ids of the prompts, so that methods differ by what they do alone. Errors as of `sample`
    and of the method's own block.
    """
    with method.block(model, shown):
        responses = [response for (response,) in sample(model, prompts, sampling)]
    texts = [each.text for each in responses] if method.after is None else method.after(model, shown, responses)
    return [
        Said(text, len(each.token_ids), each.finish == "length") for text, each in zip(texts, responses, strict=True)
    ]


def play(
    model: LanguageModel,
    method: Method,
    benchmark: Benchmark,
    cases: Sequence[Case],
    *,
    seed: int = 0,
    plain: bool = False,
    stop: Sequence[str] = (),
) -> list[Reply]:
    """Play cases under a method, all in one batch, with the benchmark's own decoding.

    As `compliance.playing.play`, whose replies the unchanged model's are to the letter; but every round is a block of
    its own, and the next round's prompt holds what the method said.
    """
    ends = (*benchmark.sampling.stop, *stop, *([NEXT_QUESTION] if plain else []))
    sampling = benchmark.sampling.model_copy(update={"seed": seed, "stop": tuple(dict.fromkeys(ends))})
    said: dict[str, list[str]] = {case.id: [] for case in cases}
    going, replies, number = list(cases), list[Reply](), 0
    while going:
        ids = [case_ids(case, said[case.id], model.tokenizer, plain=plain) for case in going]
        prompts = [
            Prompt(f"{case.id}\nround {number}", own, variant="1.0") for case, own in zip(going, ids, strict=True)
        ]
        shown = [
            shown_case(model, case, own, turns_of(case, said[case.id])[-1].content)
            for case, own in zip(going, ids, strict=True)
        ]
        for case, found in zip(going, answer(model, method, prompts, shown, sampling), strict=True):
            replies.append(Reply(case.id, 1.0, number, found.text, found.n_tokens, found.cut_off))
            said[case.id].append(found.text)
        number += 1
        going = [
            case for case in going if number <= len(case.follow_ups) and benchmark.goes_on(case, tuple(said[case.id]))
        ]
    return replies


def lose(model: LanguageModel, method: Method, passages: Sequence[tuple[int, Sequence[int]]]) -> list[Loss]:
    """How well passages are read under a method, in one batch; infinite where a token is given no probability."""
    with method.block(model, [Shown(tuple(ids)) for _, ids in passages]):
        return read(model, passages, None, (1.0,))


@dataclass
class Counted:
    """Tokens that have passed since a block began: the decoder layers, and the unembedding; padding included."""

    layers: int = 0
    unembedding: int = 0


@contextmanager
def counting(model: LanguageModel) -> Iterator[Counted]:
    """Count what passes, also in passes that a gate repeats and unembeddings of early layers."""
    count = Counted()

    def layers(states: Tensor) -> None:
        count.layers += states.numel() // states.shape[-1]

    def unembedding(_module: object, args: tuple[Tensor, ...]) -> None:
        count.unembedding += args[0].numel() // args[0].shape[-1]

    with ExitStack() as hooks:
        hooks.callback(attach(model, "residual", 0, layers).remove)
        hooks.callback(model.hf.get_output_embeddings().register_forward_pre_hook(unembedding).remove)
        yield count
