"""What it takes to turn neurons: a sweep in one pass against separate runs, and hooks against the bare model.

    python benchmarks/interventions.py                       # both parts, on the bundled model and on a random one
    python benchmarks/interventions.py --part overhead --repeats 25
    python benchmarks/interventions.py --quick               # a few seconds, to see that it runs

`sweep`: seven alphas for the same prompts, greedily, `--new-tokens` each. *One pass* puts all of them into one batch,
in which every row carries its own alpha (`scale_rows`); *separate* runs the batch of prompts seven times, each under
`scale`. The share of answers that are equal token by token is printed with it.

`overhead`: time per generated token, on a random-weight model that never ends a response, so that every way passes the
same number of tokens (a pass that a gate repeats aside). All are divided by the *bare* model:

    bare again   nothing either: what two equal runs differ by, so how far the other ratios are to be trusted
    exported     the model that `export` wrote with its neurons turned
    scale        one alpha for all rows
    scale_rows   an alpha for each row
    gate         the gate with nothing above its threshold: scoring alone
    gate, all    the gate with everything above its threshold: every pass runs twice

Ways take turns within a repeat, in an order that rotates; a ratio is taken within each repeat, and its median is
printed with its quartiles. CPU time of the process stands beside that of the clock, which other work on the machine
disturbs.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import hneurons
from figures import Figure, Setting, add_json, save
from hneurons.interventions import Scaling, gate, scale, scale_rows
from hneurons.interventions.export import export
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe, ProbeCard, Provenance, WeightedNeuron
from hneurons.questions import PromptFormat, load_questions
from hneurons.responses.sampling import Prompt, Sampling, sample
from random_models import SHAPES, called, save_random
from timing import CPU, WALL, in_turn, median, ratio

ALPHAS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
AT_MOST = 1.03
"""Time per generated token over the bare model that a hook may take."""

SHOWN = {
    "bare again": "the bare model again",
    "exported": "the exported model",
    "gate": "`gate`, nothing above its threshold",
    "gate, all": "`gate`, everything above it",
}


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="interventions-") as folder:
        base = Path(folder) / "base"
        save_random(base, args.shape)
        made = hneurons.load(str(base), device=args.device, dtype=args.dtype)
        made.name = called(made)
        if "sweep" in args.part:
            bundled = hneurons.load(args.model, device=args.device, dtype=args.dtype)
            questions = asked(bundled, args.questions, max(args.prompts))
            found += sweep(bundled, questions, args.prompts, args)
            found += sweep(made, random_prompts(made, max(args.random_prompts)), args.random_prompts, args)
        if "overhead" in args.part:
            for rows in args.rows:
                found += overhead(made, base, rows, Path(folder), args)
    save(args.json, found)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=("sweep", "overhead"), default=["sweep", "overhead"])
    parser.add_argument("--model", default="atlas-7m-instruct", help="path or name, for the sweep")
    parser.add_argument("--questions", default="atlas/cities", help="question set, for that model")
    parser.add_argument("--shape", choices=SHAPES, default="100m", help="of the random model")
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 4, 16, 64], help="prompts a batch, for the sweep")
    parser.add_argument(
        "--random-prompts", type=int, nargs="+", default=[1, 4, 16], help="the same for the random model"
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8], help="rows a batch, for the overhead")
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--neurons", type=int, default=60, help="how many are turned, over all layers")
    parser.add_argument("--repeats", type=int, default=15, help="the sweep takes a third as many")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_json(parser)
    parser.add_argument("--quick", action="store_true", help="a toy model, few prompts and repeats")
    args = parser.parse_args()
    if args.quick:
        args.shape, args.prompts, args.random_prompts, args.rows = "toy", [1, 4], [1, 4], [2]
        args.new_tokens, args.repeats = 6, 3
    return args


def sweep(
    model: LanguageModel, prompts: Sequence[Prompt], sizes: Sequence[int], args: argparse.Namespace
) -> list[Figure]:
    """Seconds of separate runs over those of one pass, for every number of prompts."""
    neurons = some_neurons(model, args.neurons)
    greedy = Sampling(n_samples=1, temperature=0.0, max_new_tokens=args.new_tokens)
    found = []
    for size in sizes:
        batch = list(prompts[:size])
        variants = [Prompt(p.question_id, p.token_ids, variant=str(alpha)) for alpha in ALPHAS for p in batch]
        scalings = [Scaling(neurons, alpha) for alpha in ALPHAS for _ in batch]
        said: dict[str, list[tuple[int, ...]]] = {}

        def separate(batch: list[Prompt] = batch, said: dict[str, list[tuple[int, ...]]] = said) -> None:
            said["separate"] = []
            for alpha in ALPHAS:
                with scale(model, neurons, alpha):
                    said["separate"] += [own[0].token_ids for own in sample(model, batch, greedy)]

        def one_pass(
            variants: list[Prompt] = variants,
            scalings: list[Scaling] = scalings,
            said: dict[str, list[tuple[int, ...]]] = said,
        ) -> None:
            with scale_rows(model, scalings):
                said["one pass"] = [own[0].token_ids for own in sample(model, variants, greedy)]

        seconds = in_turn({"separate": separate, "one pass": one_pass}, max(3, args.repeats // 3), model.device)
        equal = np.mean([a == b for a, b in zip(said["separate"], said["one pass"], strict=True)])
        middle, low, high = ratio(seconds["separate"], seconds["one pass"])
        cpu = ratio(seconds["separate"], seconds["one pass"], CPU)[0]
        if not found:
            print(f"\n{model.name}: separate runs over one pass, {len(ALPHAS)} alphas, {args.threads} threads")
            print(f"{'prompts':>8}{'rows':>6}{'faster':>8}{'quartiles':>16}{'CPU':>7}{'equal answers':>15}")
        print(
            f"{size:8}{len(variants):6}{middle:8.2f}{f'{low:.2f} to {high:.2f}':>16}{cpu:7.2f}{equal:15.1%}", flush=True
        )
        settings = described(model, args) | {"new tokens": args.new_tokens}
        what = f"one run for each of {len(ALPHAS)} alphas, {size} {'prompt' if size == 1 else 'prompts'}"
        note = f"{equal:.1%} of the answers are equal"
        found.append(Figure.of((middle, low, high), what, "one pass of all of them", note=note, **settings))
    return found


def overhead(model: LanguageModel, base: Path, rows: int, folder: Path, args: argparse.Namespace) -> list[Figure]:
    """Seconds per generated token over those of the bare model, for every way."""
    neurons = some_neurons(model, args.neurons)
    probe = some_probe(model, neurons)
    exported = folder / f"exported-{rows}"
    export(base, neurons, 2.0, exported)
    turned = hneurons.load(str(exported), device=args.device, dtype=args.dtype)
    prompts = random_prompts(model, rows)
    fixed = Sampling(n_samples=1, temperature=0.0, max_new_tokens=args.new_tokens)
    tokens = rows * args.new_tokens

    def timed(
        made: LanguageModel, block: Callable[[], contextlib.AbstractContextManager[object]]
    ) -> Callable[[], None]:
        def run() -> None:
            with block():
                said = sample(made, prompts, fixed)
            if sum(len(own[0].token_ids) for own in said) != tokens:
                raise SystemExit("a response has ended by itself; the ways cannot be compared")

        return run

    ways = {
        "bare": timed(model, contextlib.nullcontext),
        "bare again": timed(model, contextlib.nullcontext),
        "exported": timed(turned, contextlib.nullcontext),
        "scale": timed(model, lambda: scale(model, neurons, 2.0)),
        "scale_rows": timed(model, lambda: scale_rows(model, [Scaling(neurons, 2.0)] * rows)),
        "gate": timed(model, lambda: gate(model, probe, threshold=1.0, alpha=2.0)),
        "gate, all": timed(model, lambda: gate(model, probe, threshold=-1.0, alpha=2.0)),
    }
    seconds = in_turn(ways, args.repeats, model.device)
    print(f"\n{model.name}: per generated token, {rows} rows, {args.threads} threads")
    print(f"{'':12}{'ms':>8}{'over bare':>11}{'quartiles':>18}{'CPU over bare':>15}{'quartiles':>18}")
    settings = described(model, args) | {"rows": rows, "new tokens": args.new_tokens, "neurons": args.neurons}
    found = []
    for name in ways:
        (wall, low, high), (cpu, cpu_low, cpu_high) = (ratio(seconds[name], seconds["bare"], k) for k in (WALL, CPU))
        each = 1000 * median(seconds[name]) / tokens
        spread, cpu_spread = f"{low:.3f} to {high:.3f}", f"{cpu_low:.3f} to {cpu_high:.3f}"
        print(f"{name:12}{each:8.2f}{wall:11.3f}{spread:>18}{cpu:15.3f}{cpu_spread:>18}", flush=True)
        if name != "bare":
            goal = AT_MOST if name in ("scale", "scale_rows", "exported") else None
            what = f"time per generated token: {SHOWN.get(name, f'`{name}`')}"
            found.append(Figure.of((wall, low, high), what, "the bare model", at_most=goal, **settings))
    return found


def described(model: LanguageModel, args: argparse.Namespace) -> dict[str, Setting]:
    """What a figure of `model` depends on."""
    return {"model": model.name, "dtype": args.dtype, "device": model.device.type, "threads": args.threads}


def some_neurons(model: LanguageModel, n: int) -> tuple[tuple[int, int], ...]:
    """As many in every layer, drawn at random, so that every layer has its hook."""
    draw = random.Random(0)
    by_layer = max(1, n // model.n_layers)
    chosen = [(k, j) for k in range(model.n_layers) for j in draw.sample(range(model.n_neurons), by_layer)]
    return tuple(sorted(chosen))


def some_probe(model: LanguageModel, neurons: tuple[tuple[int, int], ...]) -> Probe:
    """A probe of these neurons with random weights, positive ones."""
    draw = random.Random(1)
    weights = [draw.uniform(1.0, 10.0) for _ in neurons]
    card = ProbeCard(
        model=model.fingerprint,
        C=1.0,
        scheme="1-vs-1",
        scale="none",
        intercept_kind="free",
        intercept=-1.0,
        other="response",
        positions="before",
        neurons=tuple(WeightedNeuron(layer=k, index=j, weight=w) for (k, j), w in zip(neurons, weights, strict=True)),
        violation=0.0,
        provenance=Provenance(date="2026-01-31", questions={}, versions={}),
    )
    return Probe(card, neurons, np.array(weights), None)


def asked(model: LanguageModel, name: str, n: int) -> list[Prompt]:
    """The first prompts of a question set, in the model's chat format where it has one."""
    style = PromptFormat(style="chat" if model.tokenizer.chat_template else "plain")
    questions = load_questions(name, split="validation", limit=n).questions
    return [Prompt(question.id, tuple(style.token_ids(question.text, model.tokenizer))) for question in questions]


def random_prompts(model: LanguageModel, n: int) -> list[Prompt]:
    """Random tokens in the lengths of short questions."""
    draw, rows = random.Random(0), model.hf.get_input_embeddings().num_embeddings
    return [Prompt(f"q{k}", tuple(draw.randrange(1, rows) for _ in range(draw.randint(16, 40)))) for k in range(n)]


if __name__ == "__main__":
    main()
