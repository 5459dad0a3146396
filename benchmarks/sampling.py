"""Tree sampling against `generate(num_return_sequences=...)`: tokens forwarded and seconds, on the same questions.

    python benchmarks/sampling.py --model atlas-7m-instruct --questions atlas/cities
    python benchmarks/sampling.py --random           # a random model of that size, where there is no other

Both get the same prompts in the same batches, in turn, `--repeats` times after one that warms up; the median of the
seconds is printed.
Tokens are counted where they enter the model, padding included, for both. `generate` is timed alone; tree sampling
with the decoding of the texts and of the character offsets.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import hneurons
from figures import Figure, Setting, add_json, save
from hneurons.models.language_model import LanguageModel
from hneurons.questions import PromptFormat, load_questions
from hneurons.responses.sampling import Prompt, Sampling, batches, sample
from timing import in_turn, median, ratio


def main() -> None:
    arguments = parse()
    torch.manual_seed(0)
    cap = arguments.max_new_tokens or (8 if arguments.random else 50)
    sampling = Sampling(n_samples=arguments.samples, max_new_tokens=cap)
    if arguments.random:
        model, prompts = random_model(arguments.limit)
    else:
        model = hneurons.load(arguments.model, dtype=arguments.dtype)
        prompts = questions(model, arguments.questions, arguments.limit)
    found = against_generate(
        model, prompts, sampling, arguments.batch, arguments.repeats, theirs=arguments.generate_batch, goal=6
    )
    save(arguments.json, found)


def against_generate(
    model: LanguageModel,
    prompts: list[Prompt],
    sampling: Sampling,
    batch: int,
    repeats: int,
    *,
    theirs: int | None = None,
    goal: float | None = None,
) -> list[Figure]:
    """Seconds and tokens of `generate` over those of the tree, on the same prompts.

    Args:
        model: any model.
        prompts: all of them are sampled in each repeat.
        sampling: of both.
        batch: prompts a batch.
        repeats: how often each.
        theirs: prompts a batch for `generate`, where it is another number.
        goal: of the ratio of the seconds.
    """
    our_batches, their_batches = batches(prompts, batch), batches(prompts, theirs or batch)

    def tree() -> list[int]:
        said = [own for each in our_batches for own in sample(model, each, sampling)]
        return [len({response.token_ids for response in own}) for own in said]

    def generate() -> list[int]:
        return [distinct for each in their_batches for distinct in generated(model, each, sampling)]

    found = compare(model, {"generate": generate, "tree": tree}, repeats)
    print(f"{model.name}: {len(prompts)} questions, {sampling.n_samples} samples each, batches of {batch}")
    for name, (tokens, seconds, distinct) in found.items():
        print(f"{name:10} {tokens:10,} tokens forwarded {median(seconds):8.2f} s", end=" ")
        print(f"{distinct:8.2f} distinct responses a question")
    (their_tokens, their_seconds, _), (our_tokens, own, distinct) = found["generate"], found["tree"]
    faster, fewer = ratio(their_seconds, own), their_tokens / our_tokens
    print(f"{'ratio':10} {fewer:10.2f} {'':16} {faster[0]:8.2f}")
    settings: dict[str, Setting] = {
        "model": model.name,
        "device": model.device.type,
        "questions": len(prompts),
        "samples": sampling.n_samples,
        "new tokens": f"at most {sampling.max_new_tokens}",
        "batch": batch,
        "threads": torch.get_num_threads(),
        "repeats": repeats,
    }
    note = f"{distinct:.1f} distinct of {sampling.n_samples}"
    what, against = f"`generate(num_return_sequences={sampling.n_samples})`", "the tree"
    return [
        Figure.of(faster, f"seconds: {what}", against, at_least=goal, note=note, **settings),
        Figure(what=f"tokens forwarded: {what}", against=against, value=fewer, note=note, settings=settings),
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="atlas-7m-instruct", help="path or name")
    parser.add_argument("--dtype", default="float32", help="type of the weights; auto for that of the files")
    parser.add_argument("--questions", default="atlas/cities", help="name or path of a question set")
    parser.add_argument("--random", action="store_true", help="a random model with peaked logits instead")
    parser.add_argument("--limit", type=int, default=256, help="number of questions")
    parser.add_argument("--batch", type=int, default=64, help="questions a batch")
    parser.add_argument("--generate-batch", type=int, help="questions a batch for generate; as --batch if left out")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--max-new-tokens", type=int, help="50 if left out, 8 for --random")
    parser.add_argument("--repeats", type=int, default=3)
    add_json(parser)
    return parser.parse_args()


def compare(
    model: LanguageModel, ways: dict[str, Callable[[], list[int]]], repeats: int
) -> dict[str, tuple[int, list[tuple[float, float]], float]]:
    """Tokens forwarded, seconds of each repeat and mean number of distinct responses, of each way; taken in turn."""
    tokens: dict[str, int] = {}
    distinct: dict[str, float] = {}

    def counting(name: str, way: Callable[[], list[int]]) -> Callable[[], None]:
        def run() -> None:
            with counted(model) as counts:
                distinct[name] = statistics.mean(way())
            tokens[name] = sum(counts)

        return run

    seconds = in_turn({name: counting(name, way) for name, way in ways.items()}, repeats, model.device)
    return {name: (tokens[name], seconds[name], distinct[name]) for name in ways}


@contextmanager
def counted(model: LanguageModel) -> Iterator[list[int]]:
    """Collects how many tokens, padding included, enter the model in each forward pass."""
    counts: list[int] = []
    embedding = model.hf.get_input_embeddings()
    hook = embedding.register_forward_pre_hook(lambda module, inputs: counts.append(inputs[0].numel()))
    try:
        yield counts
    finally:
        hook.remove()


def generated(model: LanguageModel, batch: list[Prompt], sampling: Sampling) -> list[int]:
    """Number of distinct responses to each question, sampled by `generate`."""
    width = max(len(prompt.token_ids) for prompt in batch)
    ids = torch.full((len(batch), width), model.pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(batch):
        ids[row, width - len(prompt.token_ids) :] = torch.tensor(prompt.token_ids)
        mask[row, width - len(prompt.token_ids) :] = 1
    made = model.hf.generate(
        ids.to(model.device),
        attention_mask=mask.to(model.device),
        do_sample=True,
        num_return_sequences=sampling.n_samples,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=sorted(model.eos_ids) or None,
        pad_token_id=model.pad_id,
    )
    said = made[:, width:].reshape(len(batch), sampling.n_samples, -1).tolist()
    return [len({tuple(row) for row in own}) for own in said]


def questions(model: LanguageModel, name: str, limit: int) -> list[Prompt]:
    """Prompts of a question set, in the model's chat format where it has one."""
    style = PromptFormat(style="chat" if model.tokenizer.chat_template else "plain")
    asked = load_questions(name, limit=limit).questions
    return [Prompt(question.id, tuple(style.token_ids(question.text, model.tokenizer))) for question in asked]


def random_model(limit: int) -> tuple[LanguageModel, list[Prompt]]:
    """Six layers of width 256 with random weights, and random prompts.

    The output is scaled so that ten responses of eight tokens have about two distinct ones; they never end by
    themselves.
    """
    config = LlamaConfig(
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        vocab_size=3072,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    hf = LlamaForCausalLM(config)
    hf.lm_head.weight.data *= 200
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    words = [" ".join(chr(97 + (n * k) % 26) * (n % 5 + 1) for k in range(1, 9)) for n in range(500)]
    trainer = trainers.BpeTrainer(vocab_size=3072, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    with tempfile.TemporaryDirectory() as directory:
        hf.save_pretrained(directory)
        fast.save_pretrained(Path(directory))
        model = hneurons.load(directory)
    model.name = "a random model"
    lengths = torch.randint(14, 24, (limit,)).tolist()
    prompts = [Prompt(f"q{n}", tuple(torch.randint(3, 3072, (length,)).tolist())) for n, length in enumerate(lengths)]
    return model, prompts


if __name__ == "__main__":
    main()
