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
import json
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import hneurons
from hneurons.contributions import Item, Recording, extract, plan_batches, record
from hneurons.contributions.padding import pad
from hneurons.contributions.recording import forward
from hneurons.models.families import FAMILIES
from hneurons.models.language_model import LanguageModel

SHAPES = {
    "toy": {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 256, "vocab_size": 512, "heads": 4},
    "7m": {"num_hidden_layers": 6, "hidden_size": 256, "intermediate_size": 1024, "vocab_size": 3072, "heads": 8},
    "100m": {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 2048, "vocab_size": 32000, "heads": 12},
}
MODES = ("bare", "bare-keep", "record", "record-hidden", "extract", "one-by-one")


def load_model(args: argparse.Namespace) -> LanguageModel:
    if args.model:
        return hneurons.load(args.model, dtype=args.dtype, device=args.device)
    shape = dict(SHAPES[args.shape])
    heads = shape.pop("heads")
    torch.manual_seed(0)
    config = LlamaConfig(**shape, num_attention_heads=heads, num_key_value_heads=heads, tie_word_embeddings=True)
    hf = LlamaForCausalLM(config).to(args.device, getattr(torch, args.dtype))
    words = Tokenizer(WordLevel({"<pad>": 0}, unk_token="<pad>"))
    return LanguageModel(
        hf, PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>"), FAMILIES["llama"], name=args.shape
    )


def make_items(model: LanguageModel, args: argparse.Namespace) -> list[Item]:
    """Random token ids in the lengths of short question answering: three responses in four are all answer."""
    draw = random.Random(0)
    vocabulary = model.hf.get_input_embeddings().num_embeddings
    items = []
    for number in range(args.items):
        n_prompt = draw.randint(*args.prompt)
        if draw.random() < 0.75:
            n_response = draw.randint(1, args.response)
            answer = tuple(range(n_response))
        else:
            n_response = draw.randint(args.response, 3 * args.response)
            start = draw.randrange(n_response - 1)
            answer = tuple(range(start, min(n_response, start + args.response // 2)))
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


def synchronised(run: Callable[[], None], device: torch.device) -> float:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit("peak memory is measured on Linux only; use --no-memory")


def measure_memory(mode: str, args: argparse.Namespace, folder: Path) -> int:
    """Peak memory of one run of `mode` beyond the loaded model, in this fresh process."""
    model = load_model(args)
    items = make_items(model, args)
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
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=MODES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="extraction-") as folder:
        if args.child:
            print(measure_memory(args.child, args, Path(folder)))
        else:
            measure(args, Path(folder))


def measure(args: argparse.Namespace, folder: Path) -> None:
    model = load_model(args)
    items = make_items(model, args)
    runs = runners(model, items, args, folder)
    times: dict[str, list[float]] = {mode: [] for mode in MODES}
    for repeat in range(-1, args.repeats):
        for shift in range(len(MODES)):
            mode = MODES[(shift + repeat) % len(MODES)]
            seconds = synchronised(runs[mode], model.device)
            if repeat >= 0:  # the first round warms up
                times[mode].append(seconds)
    memory: dict[str, int] = {}
    if not args.no_memory:
        for mode in MODES:
            command = [sys.executable, __file__, *sys.argv[1:], "--child", mode]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            memory[mode] = int(ran.stdout.split()[-1])
    report(model, items, args, times, memory)


def report(
    model: LanguageModel,
    items: list[Item],
    args: argparse.Namespace,
    times: dict[str, list[float]],
    memory: dict[str, int],
) -> None:
    batches = plan_batches(items, max_tokens=args.max_tokens, max_items=args.max_items)
    padded = [pad(batch, Recording(other=args.other), model.pad_id) for batch in batches]
    reads = max(batch.reads.numel() for batch in padded)

    def ratio(mode: str, base: str) -> float:
        return statistics.median(mine / theirs for mine, theirs in zip(times[mode], times[base], strict=True))

    result = {
        "model": model.name,
        "parameters": sum(parameter.numel() for parameter in model.hf.parameters()),
        "dtype": args.dtype,
        "device": torch.cuda.get_device_name() if model.device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "items": len(items),
        "batches": len(batches),
        "tokens": sum(len(item) for item in items),
        "tokens_padded": sum(batch.input_ids.numel() for batch in padded),
        "other": args.other,
        "one_layer_of_one_batch_bytes": reads * model.n_neurons * 4,
        "seconds": {mode: statistics.median(values) for mode, values in times.items()},
        "over_bare": {mode: ratio(mode, "bare") for mode in MODES},
        "over_bare_keep": {mode: ratio(mode, "bare-keep") for mode in MODES},
        "times_faster_than_one_by_one": {mode: ratio("one-by-one", mode) for mode in MODES},
        "peak_bytes": memory,
    }
    print(
        f"{result['model']}: {result['parameters'] / 1e6:.1f}M parameters, {args.dtype}, {result['device']},", end=" "
    )
    print(
        f"{result['threads']} threads; {len(items)} items in {len(batches)} batches, {result['tokens']} tokens", end=" "
    )
    print(f"({result['tokens_padded']} padded), other={args.other}, {args.repeats} repeats")
    print(f"{'':14}{'seconds':>9}{'/ bare':>9}{'/ keep':>9}{'faster':>9}{'peak MiB':>10}")
    for mode in MODES:
        peak = f"{memory[mode] / 2**20:10.1f}" if memory else f"{'-':>10}"
        print(
            f"{mode:14}{result['seconds'][mode]:9.3f}{result['over_bare'][mode]:9.3f}"
            f"{result['over_bare_keep'][mode]:9.3f}{result['times_faster_than_one_by_one'][mode]:9.1f}{peak}"
        )
    print(f"the read positions of one layer of the largest batch: {reads * model.n_neurons * 4 / 2**20:.1f} MiB")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
