"""A model of the shape of Llama-3.1-8B on a GPU: recording, sampling, turning and scoring over what a bare model takes.

    python benchmarks/gpu.py                                   # 8.0 billion random weights in bfloat16, on the GPU
    python benchmarks/gpu.py --part recording sampling
    python benchmarks/gpu.py --part export --export DIR        # the whole model: twice 16 GB of disk, and of the GPU
    python benchmarks/gpu.py --shape tiny --device cpu         # a try anywhere, in half a minute

The weights are random and made on the device: nothing is downloaded, and but for the export nothing is written. What is
measured depends on their shapes alone, except for sampling: how much the tree saves depends on how alike the samples of
a question are. So the output layer is multiplied until ten samples have about four distinct ones, as those of a real
model on short questions do. Nothing ends a response, so that every way passes as many tokens.

    recording     `record` with and without hidden states, and `extract` to disk, over the bare pass of the same
                  batches, and over one that computes the needed logits only; one sample at a time over recording
    sampling      `generate(num_return_sequences=10)` over the tree: tokens forwarded and seconds
    turning       time per generated token under `scale`, `scale_rows` and `gate` and with the probe's token scores,
                  over the bare model
    export        equal answers and time per token of an exported model; two layers of it unless there is `--export`

Ways take turns within a repeat, after a round that warms up, and the device is waited for before a clock is read. Peak
memory is what the allocator of the GPU held at most beyond the model's own weights, in one more run of each way.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hneurons
from extraction import MODES, make_items, runners
from figures import Figure, Setting, add_json, save
from hneurons.contributions import plan_batches
from hneurons.interventions import Scaling, gate, scale, scale_rows
from hneurons.interventions.export import export
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe
from hneurons.probes.token_scores import probabilities, probe_reader
from hneurons.responses.sampling import Prompt, Sampling, sample
from interventions import AT_MOST, random_prompts, some_neurons, some_probe
from random_models import SHAPES, called, random_llama, word_tokenizer
from sampling import against_generate, generated
from timing import in_turn, median, ratio, synchronise

PARTS = ("recording", "sampling", "turning", "export")
DISTINCT = 4.0
"""How many of ten samples are to be distinct."""


def main() -> None:
    args = parse()
    if torch.device(args.device).type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; --shape tiny --device cpu tries it without one")
    found: list[Figure] = []
    if {"recording", "sampling", "turning"} & set(args.part):
        model = random_llama(args.shape, device=args.device, dtype=args.dtype)
        print(f"{model.name} in {args.dtype} on {model.device}", flush=True)
        if "recording" in args.part:
            with tempfile.TemporaryDirectory(prefix="gpu-", dir=args.scratch) as folder:
                found += recording(model, args, Path(folder))
        if "turning" in args.part:
            found += turning(model, args)
        if "sampling" in args.part:  # last: it changes the model
            found += sampling(model, args)
        del model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    if "export" in args.part:
        with tempfile.TemporaryDirectory(prefix="gpu-", dir=args.scratch) as folder:
            found += exported(args.export or Path(folder), args)
    save(args.json, found)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--shape", choices=SHAPES, default="8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--items", type=int, default=512, help="answers that are recorded")
    parser.add_argument("--max-tokens", type=int, default=8192, help="tokens a batch, for recording")
    parser.add_argument("--max-items", type=int, default=256, help="answers a batch, for recording")
    parser.add_argument("--one-by-one", type=int, default=32, help="answers for one sample at a time and its opposite")
    parser.add_argument("--questions", type=int, default=64, help="that are sampled, all in one batch")
    parser.add_argument("--rows", type=int, default=8, help="rows a batch, for the time per generated token")
    parser.add_argument("--new-tokens", type=int, default=32, help="half as many where samples are drawn")
    parser.add_argument("--neurons", type=int, default=32, help="how many are turned and read, over all layers")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--scratch", type=Path, help="where temporary files go; the system's temporary directory")
    parser.add_argument("--export", type=Path, help="export the whole model, below this folder")
    add_json(parser)
    args = parser.parse_args()
    if args.shape == "tiny":
        args.items, args.one_by_one, args.questions, args.rows = 12, 4, 3, 2
        args.new_tokens, args.repeats, args.neurons = 6, 2, 6
    return args


def described(model: LanguageModel, args: argparse.Namespace) -> dict[str, Setting]:
    """What every figure depends on."""
    return {"model": model.name, "dtype": args.dtype, "device": model.device.type, "repeats": args.repeats}


def recording(model: LanguageModel, args: argparse.Namespace, folder: Path) -> list[Figure]:
    """Time over both bare passes, tokens per second, and peak memory."""
    plan = argparse.Namespace(other="response", max_tokens=args.max_tokens, max_items=args.max_items)
    items = make_items(model, args.items)
    ways = runners(model, items, plan, folder)
    del ways["one-by-one"]
    seconds = in_turn(ways, args.repeats, model.device)
    tokens = sum(len(item) for item in items)
    n_batches = len(plan_batches(items, max_tokens=args.max_tokens, max_items=args.max_items))
    settings = described(model, args) | {"answers": len(items), "tokens": tokens, "batches": n_batches}
    print(f"\nrecording {len(items)} answers, {tokens} tokens in {n_batches} batches")
    print_ways(seconds, "bare", tokens)
    keep = "a bare pass that computes the needed logits only"
    shown = {"record": "recording", "record-hidden": "recording with hidden states", "extract": "the same, on disk"}
    found = []
    for base, against in (("bare", "the bare forward pass"), ("bare-keep", keep)):
        for mode, what in shown.items():
            goal = 1.05 if base == "bare" and mode != "extract" else None
            note = f"{tokens / median(seconds[mode]):,.0f} against {tokens / median(seconds[base]):,.0f} tokens/s"
            spread = ratio(seconds[mode], seconds[base])
            found.append(Figure.of(spread, what, against, at_most=goal, note=note, **settings))
    found += one_by_one(model, args, plan, folder)
    used = {mode: peak(model, way) for mode, way in ways.items()}
    return found + memory(used, "bare", "the bare forward pass", shown, settings)


def one_by_one(model: LanguageModel, args: argparse.Namespace, plan: argparse.Namespace, folder: Path) -> list[Figure]:
    """One sample at a time over recording in batches, on fewer answers, for it takes long."""
    few = make_items(model, args.one_by_one)
    all_ways = runners(model, few, plan, folder)
    ways = {mode: all_ways[mode] for mode in ("record-hidden", MODES[-1])}
    seconds = in_turn(ways, max(2, args.repeats // 2), model.device)
    slower = ratio(seconds[MODES[-1]], seconds["record-hidden"])
    settings = described(model, args) | {"answers": len(few)}
    what, against = "one sample at a time, all layers stacked", "recording with hidden states"
    return [Figure.of(slower, what, against, at_least=15, **settings)]


def turning(model: LanguageModel, args: argparse.Namespace) -> list[Figure]:
    """Time per generated token over the bare model, for each way of turning and reading neurons; peak memory."""
    neurons = some_neurons(model, args.neurons)
    probe = some_probe(model, neurons)
    prompts = random_prompts(model, args.rows)
    fixed = Sampling(n_samples=1, temperature=0.0, max_new_tokens=args.new_tokens)
    blocks: dict[str, Callable[[], contextlib.AbstractContextManager[object]]] = {
        "bare": contextlib.nullcontext,
        "bare again": contextlib.nullcontext,
        "scale": lambda: scale(model, neurons, 2.0),
        "scale_rows": lambda: scale_rows(model, [Scaling(neurons, 2.0)] * args.rows),
        "token scores": lambda: scored(model, probe),
        "gate": lambda: gate(model, probe, threshold=1.0, alpha=2.0),
    }

    def generating(block: Callable[[], contextlib.AbstractContextManager[object]]) -> Callable[[], None]:
        def run() -> None:
            with block():
                sample(model, prompts, fixed)

        return run

    ways = {name: generating(block) for name, block in blocks.items()}
    seconds = in_turn(ways, args.repeats, model.device)
    tokens = args.rows * args.new_tokens
    print(f"\nper generated token, {args.rows} rows")
    print_ways(seconds, "bare", tokens)
    settings = described(model, args) | {"rows": args.rows, "new tokens": args.new_tokens, "neurons": len(neurons)}
    shown = {
        "bare again": "the bare model again",
        "scale": "`scale`",
        "scale_rows": "`scale_rows`",
        "token scores": "token scores",
        "gate": "`gate`, nothing above its threshold",
    }
    found = [
        Figure.of(
            ratio(seconds[name], seconds["bare"]),
            f"time per generated token: {what}",
            "the bare model",
            at_most=AT_MOST if name.startswith("scale") else None,
            note=f"{1000 * median(seconds[name]) / args.new_tokens:.1f} ms a pass",
            **settings,
        )
        for name, what in shown.items()
    ]
    used = {name: peak(model, way) for name, way in ways.items()}
    return found + memory(used, "bare", "the bare model", shown, settings)


@contextlib.contextmanager
def scored(model: LanguageModel, probe: Probe) -> Iterator[list[np.ndarray]]:
    """Score every token that passes, by the few neurons that the probe reads; yields the scores, pass by pass."""
    reader, plain = probe_reader(model, probe), model.hf.forward
    scores: list[np.ndarray] = []

    @functools.wraps(plain)  # its signature too: `logits_to_keep` is looked for there
    def forward(*arguments: Any, **named: Any) -> Any:
        output, columns = reader.read(functools.partial(plain, *arguments, **named))
        scores.append(probabilities(model, probe, columns))
        return output

    model.hf.forward = forward
    try:
        yield scores
    finally:
        del model.hf.forward


def sampling(model: LanguageModel, args: argparse.Namespace) -> list[Figure]:
    """`generate` over the tree, with samples about as alike as those of a real model; peak memory of both."""
    ten = Sampling(n_samples=10, max_new_tokens=max(2, args.new_tokens // 2))
    prompts = random_prompts(model, args.questions)
    sharpen(model, prompts[:16], ten)
    print()
    found = against_generate(model, prompts, ten, args.questions, args.repeats)
    used = {"tree": peak(model, lambda: sample(model, prompts, ten))}
    used["generate"] = peak(model, lambda: generated(model, prompts, ten))
    settings = found[0].settings
    return found + memory(used, "generate", "`generate`", {"tree": "the tree"}, settings)


@torch.no_grad()
def sharpen(model: LanguageModel, prompts: list[Prompt], settings: Sampling) -> None:
    """Multiply the output layer, step by step, until the samples of a question are as alike as they are to be."""
    weight = model.hf.get_output_embeddings().weight
    for _ in range(30):
        said = sample(model, prompts, settings)
        distinct = float(np.mean([len({response.token_ids for response in own}) for own in said]))
        if distinct <= DISTINCT:
            return
        weight.mul_(1.25)
    raise SystemExit(f"ten samples of a question still have {distinct:.1f} distinct ones; nothing to compare")


def exported(folder: Path, args: argparse.Namespace) -> list[Figure]:
    """The exported model against the hooked one, answer by answer, and its time against the bare model's."""
    whole = args.export is not None
    few = {"num_hidden_layers": 2, "vocab_size": min(8192, SHAPES[args.shape]["vocab_size"])}
    base, edited = folder / "base", folder / "edited"
    made = random_llama(args.shape, device=args.device, dtype=args.dtype, **({} if whole else few))
    made.hf.save_pretrained(base)
    word_tokenizer(made.config.vocab_size).save_pretrained(base)
    del made
    model = hneurons.load(str(base), dtype=args.dtype, device=args.device)
    model.name = called(model)
    neurons = some_neurons(model, args.neurons)
    report = export(base, neurons, 2.0, edited)
    turned = hneurons.load(str(edited), dtype=args.dtype, device=args.device)
    prompts = random_prompts(model, args.rows)
    fixed = Sampling(n_samples=1, temperature=0.0, max_new_tokens=args.new_tokens)

    def answers(of: LanguageModel) -> list[tuple[int, ...]]:
        return [own[0].token_ids for own in sample(of, prompts, fixed)]

    with scale(model, neurons, 2.0):
        hooked = answers(model)
    found, intact = answers(turned), answers(model)
    equal, changed = (sum(a == b for a, b in zip(found, other, strict=True)) for other in (hooked, intact))
    seconds = in_turn(
        {"bare": lambda: answers(model), "exported": lambda: answers(turned), "bare again": lambda: answers(model)},
        args.repeats,
        model.device,
    )
    print(f"\nexported, {model.n_layers} layers: {equal} of {len(prompts)} answers equal those of the hooked model")
    print_ways(seconds, "bare", args.rows * args.new_tokens)
    settings = described(model, args) | {"alpha": 2, "neurons": len(neurons), "layers": model.n_layers}
    rounding = max(tensor.rounding for tensor in report.edited)
    equal_answers = Figure(
        what="equal answers of the exported model",
        against="the hooked model",
        value=equal,
        unit=f"of {len(prompts)}",
        at_least=len(prompts),
        settings=settings,
        note=f"{changed} differ from the base model's; largest rounding {rounding:.2g}",
    )
    again = f"the bare model again {ratio(seconds['bare again'], seconds['bare'])[0]:.3f}"
    what, spread = "time per generated token: the exported model", ratio(seconds["exported"], seconds["bare"])
    return [equal_answers, Figure.of(spread, what, "the bare model", at_most=AT_MOST, note=again, **settings)]


def print_ways(seconds: dict[str, list[tuple[float, float]]], base: str, tokens: int) -> None:
    """Seconds, tokens per second and the ratio over `base`, of every way."""
    print(f"{'':14}{'seconds':>9}{'tokens/s':>11}{'over ' + base:>12}{'quartiles':>18}")
    for name, each in seconds.items():
        middle, low, high = ratio(each, seconds[base])
        spread = f"{low:.3f} to {high:.3f}"
        print(f"{name:14}{median(each):9.3f}{tokens / median(each):11,.0f}{middle:12.3f}{spread:>18}", flush=True)


def peak(model: LanguageModel, way: Callable[[], object]) -> int | None:
    """Bytes that the GPU's allocator held at most during one run, beyond what it held before; None on the CPU."""
    if model.device.type != "cuda":
        return None
    synchronise(model.device)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(model.device)
    torch.cuda.reset_peak_memory_stats(model.device)
    way()
    synchronise(model.device)
    return torch.cuda.max_memory_allocated(model.device) - before


def memory(
    used: dict[str, int | None], base: str, against: str, shown: dict[str, str], settings: dict[str, Setting]
) -> list[Figure]:
    """Peak memory of each way over that of `base`; nothing where it is not known."""
    held, found = used[base], []
    for name, what in shown.items():
        own = used[name]
        if held and own is not None:
            note = f"{own / 1e9:.2f} against {held / 1e9:.2f} GB beyond the model"
            found.append(
                Figure(what=f"peak memory: {what}", against=against, value=own / held, note=note, settings=settings)
            )
    return found


if __name__ == "__main__":
    main()
