"""Drift of two models read from their files: peak memory, time over plainly reading the same bytes, and growth.

    python benchmarks/drift.py
    python benchmarks/drift.py --gb 0.1

Two random-weight models in the layout of Llama (bfloat16, sharded), of `--gb` each, are written to a temporary
directory (`--directory` puts it on another disk). What is compared:

    read          reading every projection of both models into one buffer of 4 MB, nothing computed
    drift         `distances` on the same files
    drift, half   `distances` on the first half of the layers, same files

They take turns; medians over the repeats, of ratios within each. Before each turn the files are dropped from the page
cache ("cold"); then they are left in it ("warm"). Memory is the highest resident memory of a process of its own that
opens both models and does `drift` with 100 H-Neurons and all its tests, in total and above what it held before the
first read. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from figures import Figure, Setting, add_json, save
from hneurons.models.stored import StoredModel, open_stored
from hneurons.origins.drift import distances, drift
from timing import Seconds, median, ratio, timed

VOCABULARY = 8000
BUFFER = 4 * 1024**2


def write_pair(directory: Path, gb: float) -> int:
    """Write `base` and `tuned`, and `base-half` and `tuned-half`, whose configurations stop at half of the layers."""
    hidden = 2048 if gb >= 0.5 else 1024
    ffn = 4 * hidden
    a_layer = 2 * (3 * hidden * ffn + 4 * hidden * hidden)
    layers = max(2, round((gb * 1e9 - 2 * VOCABULARY * hidden) / a_layer))
    shapes = {f"self_attn.{name}_proj": (hidden, hidden) for name in "qkvo"}
    shapes |= {"mlp.up_proj": (ffn, hidden), "mlp.gate_proj": (ffn, hidden), "mlp.down_proj": (hidden, ffn)}
    random = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, int]) -> torch.Tensor:
        return torch.randn(shape, generator=random).mul_(0.02).bfloat16()

    maps: dict[str, dict[str, str]] = {"base": {}, "tuned": {}}
    for shard in range(layers + 1):
        if shard < layers:
            tensors = {f"model.layers.{shard}.{name}.weight": draw(shape) for name, shape in shapes.items()}
            for name in ("input_layernorm", "post_attention_layernorm"):
                tensors[f"model.layers.{shard}.{name}.weight"] = torch.ones(hidden, dtype=torch.bfloat16)
        else:
            tensors = {"model.embed_tokens.weight": draw((VOCABULARY, hidden))}
            tensors["model.norm.weight"] = torch.ones(hidden, dtype=torch.bfloat16)
        for name, shards in maps.items():
            (directory / name).mkdir(exist_ok=True)
            file = directory / name / f"model-{shard + 1:05}-of-{layers + 1:05}.safetensors"
            if name == "tuned":
                tensors = {key: value + 0.1 * draw((*value.shape,)) for key, value in tensors.items()}
            save_file(tensors, file, {"format": "pt"})
            with file.open("rb+") as written:
                os.fsync(written.fileno())
            shards |= dict.fromkeys(tensors, file.name)
    for name, shards in maps.items():
        for suffix, count in (("", layers), ("-half", layers // 2)):
            made = directory / f"{name}{suffix}"
            made.mkdir(exist_ok=True)
            config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
            config |= {"hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": count}
            config |= {"num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": VOCABULARY}
            (made / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
            (made / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
            for file in set(shards.values()) if suffix else ():
                (made / file).symlink_to(directory / name / file)
    return layers


def drop(directory: Path) -> bool:
    """Drop the files from the page cache; whether they are gone."""
    gone = True
    for file in directory.glob("*/*.safetensors"):
        if file.is_symlink():
            continue
        with file.open("rb", buffering=0) as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                os.preadv(stream.fileno(), [bytearray(1)], file.stat().st_size // 2, os.RWF_NOWAIT)
                gone = False
            except BlockingIOError:
                pass
    return gone


def read_plainly(models: list[StoredModel]) -> int:
    """Read every projection of the models into one buffer; how many bytes these were."""
    buffer = memoryview(bytearray(BUFFER))
    total = 0
    for model in models:
        for tensor in (*model.up, *(model.gate or ()), *model.down):
            with tensor.file.open("rb", buffering=0) as stream:
                stream.seek(tensor.start)
                left = tensor.nbytes
                while left:
                    left -= stream.readinto(buffer[: min(left, BUFFER)]) or sys.exit(f"{tensor.file} is cut short")
            total += tensor.nbytes
    return total


def memory(directory: Path) -> dict[str, int]:
    """What `drift` reads, and the memory that this process had before and at most, in bytes."""
    base, tuned = (open_stored(directory / name) for name in ("base", "tuned"))
    before = status("VmRSS")
    found = drift(base, tuned, [(k % base.n_layers, 7 * k) for k in range(100)])
    return {"bytes": found.bytes_read, "before": before, "peak": status("VmHWM")}


def status(name: str) -> int:
    """A line of this process's status, in bytes. (`ru_maxrss` would count the process that started this one.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def times(directory: Path, repeats: int, cold: bool) -> tuple[Seconds, bool]:
    """Seconds of each way in each repeat, and whether the page cache was emptied before each turn."""
    pair, half = ([open_stored(directory / f"{name}{end}") for name in ("base", "tuned")] for end in ("", "-half"))
    run: dict[str, Callable[[], object]] = {
        "read": lambda: read_plainly(pair),
        "drift": lambda: distances(*pair),
        "drift, half": lambda: distances(*half),
    }
    seconds: Seconds = {way: [] for way in run}
    emptied = cold
    read_plainly(pair)
    for _ in range(repeats):
        for way, do in run.items():
            emptied = emptied and drop(directory)
            seconds[way].append(timed(do))
    return seconds, emptied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=1.0, help="size of each model's files")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="where to put the models; the system's temporary directory")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    add_json(parser)
    args = parser.parse_args()
    if args.memory:
        print(json.dumps(memory(args.directory)))
        return
    with tempfile.TemporaryDirectory(dir=args.directory) as temporary:
        directory = Path(temporary)
        layers = write_pair(directory, args.gb)
        size = sum(file.stat().st_size for file in (directory / "base").glob("*.safetensors"))
        command = [sys.executable, __file__, "--memory", "--directory", temporary]
        used = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        settings = {"models": f"two of {size / 1e9:.2f} GB", "layers": layers, "threads": torch.get_num_threads()}
        found = [in_memory(used, size, settings)]
        for cold in (True, False):
            found += in_time(directory, args.repeats, cold, layers, used["bytes"], settings)
    save(args.json, found)


def in_memory(used: dict[str, int], size: int, settings: dict[str, Setting]) -> Figure:
    """Peak memory of the process over the size of one model's files."""
    above = f"{(used['peak'] - used['before']) / 1e6:.0f} MB above what was there before"
    print(f"{settings['models']}, {settings['layers']} layers; {used['bytes'] / 1e9:.2f} GB of projections are read")
    print(f"peak memory {used['peak'] / 1e9:.2f} GB in total, {above}")
    return Figure(
        what="peak memory of the process", against="", value=used["peak"] / 1e9, unit="GB", at_most=1.5,
        settings=settings, note=f"{above}; each model's files have {size / 1e9:.2f} GB",
    )  # fmt: skip


def in_time(
    directory: Path, repeats: int, cold: bool, layers: int, n_bytes: int, settings: dict[str, Setting]
) -> list[Figure]:
    """Seconds over plainly reading the bytes, and how they grow with the layers."""
    seconds, emptied = times(directory, repeats, cold)
    where = "cold" if emptied else "warm" if not cold else "warm, for the page cache could not be emptied"
    print(f"\n{where}")
    for way, each in seconds.items():
        part = layers // 2 / layers if way == "drift, half" else 1
        print(f"  {way:12s} {median(each):7.2f} s  {part * n_bytes / median(each) / 1e9:6.2f} GB/s")
    more = layers / (layers // 2)
    over_read, growth = ratio(seconds["drift"], seconds["read"]), ratio(seconds["drift"], seconds["drift, half"])
    print(f"  drift over read: {over_read[0]:.2f}")
    print(f"  {more:.2f} times the layers take {growth[0]:.2f} times as long")
    speed = f"{n_bytes / median(seconds['read']) / 1e9:.2f} GB/s read"
    grown, low, high = (taken / more for taken in growth)
    return [
        Figure.of(over_read, f"time, files {where}", "plainly reading the same bytes", note=speed, **settings),
        Figure.of((grown, low, high), f"time per layer, files {where}", "half of the layers", at_most=1.1, **settings),
    ]


if __name__ == "__main__":
    main()
