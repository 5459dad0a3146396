"""What patching every place of the residual stream takes: many patches to a pass against one pass for each.

    python benchmarks/patching.py                    # on the bundled model and on a random one of 100M parameters
    python benchmarks/patching.py --repeats 9 --prompts 8
    python benchmarks/patching.py --quick            # a few seconds, to see that it runs

Two runs of the same length, and the residual stream after every layer at every position of the one put into the other,
one place at a time: `layers * positions` patches a pair of runs. The *loop* is what one writes first: a forward pass of
one row for each patch, with a plain hook, logits at the last token only. *batched* is `patched`, `--rows` patches to a
pass; *batched, all layers* is the same without leaving out the layers below the lowest one that is patched. All three
include running both inputs once and give the same logits, which is checked.

Ways take turns within a repeat, in an order that rotates; a ratio is taken within each repeat, and its median is
printed with its quartiles. CPU time of the process stands beside that of the clock, which other work on the machine
disturbs.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import hneurons
from figures import Figure, add_json, save
from hneurons.layers.causality.inputs import Input, last_logits
from hneurons.layers.causality.patching import Patch, Place, patched
from hneurons.models.language_model import LanguageModel
from random_models import SHAPES, called, save_random
from timing import CPU, WALL, in_turn, median, ratio

ANSWERS = (5, 6)


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    bundled = hneurons.load(args.model, device=args.device, dtype=args.dtype)
    found = compared(bundled, args.prompts, args.tokens, range(args.tokens), args)
    with tempfile.TemporaryDirectory(prefix="patching-") as folder:
        save_random(Path(folder), args.shape)
        made = hneurons.load(folder, device=args.device, dtype=args.dtype)
        made.name = called(made)
        few = np.linspace(0, args.tokens - 1, args.random_positions).astype(int)
        found += compared(made, 1, args.tokens, [int(position) for position in few], args)
    save(args.json, found)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="atlas-7m-instruct", help="path or name of the first model")
    parser.add_argument("--shape", choices=SHAPES, default="100m", help="of the random model")
    parser.add_argument("--prompts", type=int, default=4, help="pairs of runs, on the first model")
    parser.add_argument("--tokens", type=int, default=22, help="of each run")
    parser.add_argument(
        "--random-positions", type=int, default=4, help="positions that are patched in the random model"
    )
    parser.add_argument("--rows", type=int, default=64, help="patches to a pass")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_json(parser)
    parser.add_argument("--quick", action="store_true", help="a toy model, one pair and two repeats")
    args = parser.parse_args()
    if args.quick:
        args.shape, args.prompts, args.random_positions, args.repeats = "toy", 1, 2, 2
    return args


def compared(
    model: LanguageModel, n_pairs: int, length: int, positions: Sequence[int], args: argparse.Namespace
) -> list[Figure]:
    """Seconds of the loop over those of both other ways."""
    inputs = some_inputs(model, 2 * n_pairs, length)
    patches = [
        Patch(2 * pair, (Place("residual", layer, (position,), source=2 * pair + 1),))
        for pair in range(n_pairs)
        for layer in range(model.n_layers)
        for position in positions
    ]
    answers = [ANSWERS] * len(inputs)
    said: dict[str, np.ndarray] = {}

    def loop() -> None:
        said["loop"] = one_by_one(model, inputs, patches)

    def batched(name: str, skip: bool) -> Callable[[], None]:
        def run() -> None:
            said[name] = patched(model, inputs, patches, answers, batch_rows=args.rows, skip=skip).logits

        return run

    ways = {
        "loop": loop,
        "batched, all layers": batched("batched, all layers", False),
        "batched": batched("batched", True),
    }
    seconds = in_turn(ways, args.repeats, model.device)
    apart = max(float(np.abs(said[name] - said["loop"]).max()) for name in said)
    if apart > 1e-3 * max(1.0, float(np.abs(said["loop"]).max())) and args.dtype == "float32":
        raise SystemExit(f"the ways differ by {apart:.2g} in their logits; they cannot be compared")
    print(
        f"\n{model.name}: {len(patches)} patches ({n_pairs} x {model.n_layers} layers x {len(positions)} positions), "
        f"so {len(patches)} passes of the loop; {args.threads} threads"
    )
    print(f"{'':22}{'seconds':>9}{'fewer by':>10}{'quartiles':>18}{'CPU':>8}{'quartiles':>18}")
    settings = {"model": model.name, "patches": len(patches), "rows to a pass": args.rows, "threads": args.threads}
    found = []
    for name in ways:
        (wall, low, high), (cpu, cpu_low, cpu_high) = (ratio(seconds["loop"], seconds[name], k) for k in (WALL, CPU))
        spread, cpu_spread = f"{low:.2f} to {high:.2f}", f"{cpu_low:.2f} to {cpu_high:.2f}"
        print(f"{name:22}{median(seconds[name]):9.2f}{wall:10.2f}{spread:>18}{cpu:8.2f}{cpu_spread:>18}", flush=True)
        if name != "loop":
            against = "the same, many patches to a pass" + (", all layers run" if name != "batched" else "")
            goal = 5.0 if name == "batched" else None
            what = "one whole pass for each patch"
            found.append(Figure.of((wall, low, high), what, against, at_least=goal, **settings))
    return found


@torch.no_grad()
def one_by_one(model: LanguageModel, inputs: Sequence[Input], patches: Sequence[Patch]) -> np.ndarray:
    """A pass for each patch; what is put in is read in one pass for each run that is drawn on."""
    held: dict[tuple[int, int], torch.Tensor] = {}

    def keep(key: tuple[int, int]) -> Callable[..., None]:
        def hook(_module: object, _arguments: object, output: object) -> None:
            held[key] = (output[0] if isinstance(output, tuple) else output).clone()

        return hook

    for number in sorted({place.source for patch in patches for place in patch.places if place.source is not None}):
        handles = [model.block(k).register_forward_hook(keep((number, k))) for k in range(model.n_layers)]
        last_logits(model, [inputs[number]])
        for handle in handles:
            handle.remove()
    found = []
    for patch in patches:
        (place,) = patch.places

        def put(_module: object, _arguments: object, output: object, place: Place = place) -> object:
            states = (output[0] if isinstance(output, tuple) else output).clone()
            states[0, place.positions[0]] = held[place.source, place.layer][0, place.positions[0]]
            return (states, *output[1:]) if isinstance(output, tuple) else states

        handle = model.block(place.layer).register_forward_hook(put)
        logits = last_logits(model, [inputs[patch.into]])[0]
        handle.remove()
        found.append(logits[list(ANSWERS)].double().cpu().numpy())
    return np.stack(found)


def some_inputs(model: LanguageModel, n: int, length: int) -> list[Input]:
    """Random tokens."""
    draw, rows = random.Random(0), model.hf.get_input_embeddings().num_embeddings
    return [Input(tuple(draw.randrange(1, rows) for _ in range(length))) for _ in range(n)]


if __name__ == "__main__":
    main()
