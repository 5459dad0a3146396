"""Recording contributions: time and peak memory over a bare forward pass, and over one sample at a time.

    python benchmarks/extraction.py --shape 7m
    python benchmarks/extraction.py --shape 100m --items 128
    python benchmarks/extraction.py --model atlas-7m-instruct --json extraction.json

What is compared, on the same items and in the same process, interleaved, medians over the repeats:

    bare          the model's own forward pass of the very batches that are recorded, logits of every position
    bare-keep     the same, with the logits of the answer's positions only (`logits_to_keep`), as `record` asks for them
    record        `record` without hidden states, rows thrown away
    record-hidden `record` with hidden states, rows thrown away
    extract       `extract` to disk: hidden states, Zarr chunks synced, Parquet parts
    one-by-one    one sample at a time without padding; hooks keep z and ||h|| of every position of every layer, these
                  are stacked to (layers, tokens, neurons), divided, averaged over the answer and over the rest, and
                  saved as two .npy files (the straightforward way, and the layout of the method's public code)

The bare passes get tensors that were padded beforehand; none of the six keeps a key/value cache. Peak memory is
measured for each in a fresh process: the highest resident memory of the run (or allocated memory on a GPU) beyond what
is there once the model is loaded and the same code has run on two items.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import hneurons
from figures import Figure, Setting, add_json, save
from hneurons.contributions import Item, Recording, extract, plan_batches, record
from hneurons.contributions.padding import pad
from hneurons.contributions.recording import forward
from hneurons.models.language_model import LanguageModel
from random_models import SHAPES, random_llama
from timing import Seconds, in_turn, median, ratio

MODES = ("bare", "bare-keep", "record", "record-hidden", "extract", "one-by-one")


def load_model(args: argparse.Namespace) -> LanguageModel:
    if args.model:
        return hneurons.load(args.model, dtype=args.dtype, device=args.device)
    return random_llama(args.shape, dtype=args.dtype, device=args.device)


def make_items(model: LanguageModel, n: int, prompt: tuple[int, int] = (16, 40), response: int = 6) -> list[Item]:
    """Random token ids in the lengths of short question answering: three responses in four are all answer.

    Args:
        model: whose vocabulary they are of.
        n: how many.
        prompt: shortest and longest prompt.
        response: longest response that is all answer; the others have up to three times as many tokens.
    """
    draw = random.Random(0)
    vocabulary = model.hf.get_input_embeddings().num_embeddings
    items = []
    for number in range(n):
        n_prompt = draw.randint(*prompt)
        if draw.random() < 0.75:
            n_response = draw.randint(1, response)
            answer = tuple(range(n_response))
        else:
            n_response = draw.randint(response, 3 * response)
            start = draw.randrange(n_response - 1)
            answer = tuple(range(start, min(n_response, start + response // 2)))
        ids = [draw.randrange(10, vocabulary) for _ in range(n_prompt + n_response)]
        items.append(Item(str(number), tuple(ids[:n_prompt]), tuple(ids[n_prompt:]), answer))
    return items


class Nothing:
    """A sink that throws every row away."""

    def contributions(self, layer: int, answer: torch.Tensor, other: torch.Tensor) -> None:
        pass

    def hidden(self, layer: int, answer: torch.Tensor, other: torch.Tensor) -> None:
        pass


@torch.no_grad()
def one_by_one(model: LanguageModel, items: list[Item], folder: Path) -> None:
    z: list[torch.Tensor] = []
    h: list[torch.Tensor] = []

    def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        z.append(inputs[0][0])
        h.append(output[0].norm(dim=-1, keepdim=True))

    handles = [model.down(layer).register_forward_hook(hook) for layer in range(model.n_layers)]
    norms = model.column_norms().unsqueeze(1)
    for item in items:
        z.clear()
        h.clear()
        model.hf(input_ids=torch.tensor([item.prompt_ids + item.response_ids], device=model.device), use_cache=False)
        cett = torch.stack(z).abs() * norms / torch.stack(h)
        answer = torch.tensor([len(item.prompt_ids) + index for index in item.answer], device=model.device)
        rest = torch.ones(len(item), dtype=torch.bool, device=model.device)
        rest[answer] = False
        np.save(folder / f"answer_{item.key}.npy", cett[:, answer].mean(dim=1).float().cpu().numpy())
        np.save(folder / f"other_{item.key}.npy", cett[:, rest].mean(dim=1).float().cpu().numpy())
    for handle in handles:
        handle.remove()


def runners(
    model: LanguageModel, items: list[Item], args: argparse.Namespace, folder: Path
) -> dict[str, Callable[[], None]]:
    batches = plan_batches(items, max_tokens=args.max_tokens, max_items=args.max_items)
    recording = Recording(other=args.other, positions="at", hidden=True)
    plain = recording.model_copy(update={"hidden": False})
    padded = [pad(batch, plain, model.pad_id) for batch in batches]

    @torch.no_grad()
    def bare() -> None:
        for batch in padded:
            ids, mask = batch.input_ids.to(model.device), batch.attention_mask.to(model.device)
            model.hf(input_ids=ids, attention_mask=mask, use_cache=False)

    @torch.no_grad()
    def bare_keep() -> None:
        for batch in padded:
            forward(model, batch)

    def recorded(settings: Recording) -> Callable[[], None]:
        def run() -> None:
            for batch in batches:
                record(model, batch, settings, Nothing())

        return run

    def extracted() -> None:
        shutil.rmtree(folder / "store", ignore_errors=True)
        extract(model, batches, recording, folder / "store")

    def naive() -> None:
        (folder / "naive").mkdir(exist_ok=True)
        one_by_one(model, items, folder / "naive")

    return dict(zip(MODES, (bare, bare_keep, recorded(plain), recorded(recording), extracted, naive), strict=True))


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit("peak memory is measured on Linux only; use --no-memory")


def measure_memory(mode: str, args: argparse.Namespace, folder: Path) -> int:
    """Peak memory of one run of `mode` beyond the loaded model, in this fresh process."""
    model = load_model(args)
    items = make_items(model, args.items, tuple(args.prompt), args.response)
    runners(model, items[:2], args, folder)[mode]()
    run = runners(model, items, args, folder)[mode]
    gc.collect()
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="7m", help="a Llama of that size with random weights")
    parser.add_argument("--model", help="a model to load instead")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--items", type=int, default=512)
    parser.add_argument("--prompt", type=int, nargs=2, default=(16, 40), help="shortest and longest prompt")
    parser.add_argument(
        "--response", type=int, default=6, help="longest all-answer response; others are up to 3 times it"
    )
    parser.add_argument("--other", choices=("response", "sequence"), default="response")
    parser.add_argument("--max-tokens", type=int, default=4096)
    parser.add_argument("--max-items", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a toy model, few items and repeats")
    add_json(parser)
    parser.add_argument("--child", choices=MODES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.shape, args.items, args.repeats = "toy", 16, 2
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="extraction-") as folder:
        if args.child:
            print(measure_memory(args.child, args, Path(folder)))
        else:
            measure(args, Path(folder))


def measure(args: argparse.Namespace, folder: Path) -> None:
    model = load_model(args)
    items = make_items(model, args.items, tuple(args.prompt), args.response)
    seconds = in_turn(runners(model, items, args, folder), args.repeats, model.device)
    memory: dict[str, int] = {}
    if not args.no_memory:
        for mode in MODES:
            command = [sys.executable, __file__, *sys.argv[1:], "--child", mode]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                raise SystemExit(ran.stderr)
            memory[mode] = int(ran.stdout.split()[-1])
    report(model, items, args, seconds, memory)
    save(args.json, figures(seconds, memory, described(model, items, args)))


def described(model: LanguageModel, items: list[Item], args: argparse.Namespace) -> dict[str, Setting]:
    return {
        "model": model.name,
        "dtype": args.dtype,
        "device": model.device.type,
        "threads": torch.get_num_threads(),
        "items": len(items),
        "tokens": sum(len(item) for item in items),
        "other": args.other,
        "repeats": args.repeats,
    }


def figures(seconds: Seconds, memory: dict[str, int], settings: dict[str, Setting]) -> list[Figure]:
    """Recording over both bare passes; one by one over recording; peak memory, as a ratio too."""
    bare, keep = "the bare forward pass", "a bare pass that computes the needed logits only"
    shown = {"record": "recording", "record-hidden": "recording with hidden states", "extract": "the same, on disk"}
    found = []
    for against, base in ((bare, "bare"), (keep, "bare-keep")):
        for mode, what in shown.items():
            goal = 1.05 if base == "bare" and mode != "extract" else None
            found.append(Figure.of(ratio(seconds[mode], seconds[base]), what, against, at_most=goal, **settings))
    faster = ratio(seconds["one-by-one"], seconds["record-hidden"])
    what = "one sample at a time, all layers stacked"
    found.append(Figure.of(faster, what, "recording with hidden states", at_least=15, **settings))
    if memory:
        values = {"value": memory["record-hidden"] / memory["bare"], "settings": settings}
        mib = f"{memory['record-hidden'] / 2**20:.0f} against {memory['bare'] / 2**20:.0f} MiB above the model"
        found.append(Figure(what="peak memory of recording with hidden states", against=bare, note=mib, **values))
    return found


def report(
    model: LanguageModel, items: list[Item], args: argparse.Namespace, seconds: Seconds, memory: dict[str, int]
) -> None:
    batches = plan_batches(items, max_tokens=args.max_tokens, max_items=args.max_items)
    padded = [pad(batch, Recording(other=args.other), model.pad_id) for batch in batches]
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else "CPU"
    print(f"{model.name}, {args.dtype}, {device}, {torch.get_num_threads()} threads;", end=" ")
    print(f"{len(items)} items in {len(batches)} batches, {sum(len(item) for item in items)} tokens", end=" ")
    print(f"({sum(batch.input_ids.numel() for batch in padded)} padded), other={args.other}, {args.repeats} repeats")
    print(f"{'':14}{'seconds':>9}{'/ bare':>9}{'/ keep':>9}{'faster':>9}{'peak MiB':>10}")
    for mode in MODES:
        over_bare, over_keep = (ratio(seconds[mode], seconds[base])[0] for base in ("bare", "bare-keep"))
        faster = ratio(seconds["one-by-one"], seconds[mode])[0]
        peak = f"{memory[mode] / 2**20:10.1f}" if memory else f"{'-':>10}"
        print(f"{mode:14}{median(seconds[mode]):9.3f}{over_bare:9.3f}{over_keep:9.3f}{faster:9.1f}{peak}")
    reads = max(batch.reads.numel() for batch in padded)
    print(f"the read positions of one layer of the largest batch: {reads * model.n_neurons * 4 / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
