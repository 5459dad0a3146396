"""What keeping freed memory saves: forward passes on the CPU, in processes that differ in nothing else.

    python benchmarks/memory.py                     # the bundled model
    python benchmarks/memory.py --shape 100m --rows 8
    python benchmarks/memory.py --quick             # a few seconds, to see that it runs

A pass is one batch of `--rows` rows of `--tokens` tokens through the bare model, without a cache. *Kept* calls
`hneurons.memory.keep_freed_memory` first, as the command line does; *given back* leaves the allocator as it is. What it
is told holds for a whole process, so each way has processes of its own, which take turns; in each the median over
`--passes` passes counts. The ratio is taken within each pair, and its median is printed with its quartiles. *Given back
again* is a second process that does as the first: by as much as it differs from it are the ratios uncertain.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

from figures import Figure, add_json, save
from random_models import SHAPES, random_config
from timing import spread

WAYS = ("given back", "kept", "given back again")


def main() -> None:
    args = parse()
    if args.way:
        print(json.dumps(measure(args)))
        return
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    faults: dict[str, list[float]] = {way: [] for way in WAYS}
    for repeat in range(args.repeats):
        for place in range(len(WAYS)):
            way = WAYS[(place + repeat) % len(WAYS)]
            found = in_a_process(way)
            seconds[way].append(found["seconds"])
            faults[way].append(found["faults"])
    print(f"Llama {args.shape}, {args.rows} rows of {args.tokens} tokens a pass, {args.threads} threads")
    print(f"{'':18}{'rows/s':>9}{'faults a pass':>15}{'time over given back':>22}{'quartiles':>18}")
    found = []
    for way in WAYS:
        middle, low, high = spread(np.divide(seconds[way], seconds["given back"]))
        rate, pages = args.rows / float(np.median(seconds[way])), float(np.median(faults[way]))
        print(f"{way:18}{rate:9.1f}{pages:15.0f}{middle:22.3f}{f'{low:.3f} to {high:.3f}':>18}")
        if way != "given back":
            what = "time of a pass, freed memory " + ("kept" if way == "kept" else "given back, another process")
            note = f"{pages:.0f} page faults a pass"
            settings = {name: getattr(args, name) for name in ("shape", "rows", "tokens", "passes", "threads")}
            found.append(Figure.of((middle, low, high), what, "given back", note=note, **settings))
    save(args.json, found)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="7m", help="a Llama of that size with random weights")
    parser.add_argument("--rows", type=int, default=64, help="rows a pass")
    parser.add_argument("--tokens", type=int, default=48, help="tokens a row")
    parser.add_argument("--passes", type=int, default=20, help="in each process, after half as many that warm up")
    parser.add_argument("--repeats", type=int, default=7, help="processes of each way")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    add_json(parser)
    parser.add_argument("--quick", action="store_true", help="a toy model, few passes and repeats")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.shape, args.passes, args.repeats = "toy", 4, 2
    return args


def in_a_process(way: str) -> dict[str, float]:
    """Seconds and page faults of a pass, in a process of its own to which nothing has been said of memory."""
    untold = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
    done = subprocess.run(command, capture_output=True, text=True, env=untold, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(args: argparse.Namespace) -> dict[str, float]:
    """The median pass, in this process."""
    import resource

    import torch
    from transformers import LlamaForCausalLM

    from hneurons.memory import keep_freed_memory

    if args.way == "kept" and not keep_freed_memory():
        raise SystemExit("this allocator cannot be told to keep what is freed (glibc can)")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = random_config(args.shape)
    model = LlamaForCausalLM(config).eval()
    ids = torch.randint(1, config.vocab_size, (args.rows, args.tokens))
    seconds, before = [], 0
    with torch.inference_mode():
        for turn in range(-(args.passes // 2), args.passes):
            if turn == 0:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            started = time.perf_counter()
            model(input_ids=ids, use_cache=False)
            if turn >= 0:
                seconds.append(time.perf_counter() - started)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return {"seconds": float(np.median(seconds)), "faults": faults / args.passes}


if __name__ == "__main__":
    main()
