"""An exported model in plain transformers against the hooked model: answers that are equal, and seconds a token.

    python benchmarks/export.py runs/demo --alphas 0 0.5 1.5 2 3
    python benchmarks/export.py runs/demo --alphas 2 3 --dtype bfloat16

Greedy answers to questions of a run's first evaluation set, in the same batches. The exported model answers in a
process that knows transformers alone (this file with `--plain`). The seconds of a token are the base model's and the
exported model's, each in such a process, and the median of three runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

BATCH, TOKENS, REPEATS = 50, 40, 3


def answers(model: Any, prompts: list[list[int]]) -> list[list[int]]:
    """Greedy answers as token ids; batches are padded on the left, and padding is masked."""
    found = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        width = max(map(len, batch))
        ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in batch])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch])
        with torch.no_grad():
            said = model.generate(ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=False, pad_token_id=0)
        found += said[:, width:].tolist()
    return found


def plain(path: str, dtype: str) -> None:
    """Answer the prompts on standard input with the model at `path`, as a program would that knows nothing of us."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype))
    prompts = json.load(sys.stdin)
    answers(model, prompts[:BATCH])  # warm
    each = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = answers(model, prompts)
        each.append(time.perf_counter() - start)
    seconds = statistics.median(each)
    assert "hneurons" not in sys.modules
    print(json.dumps({"answers": found, "seconds": seconds / sum(map(len, found))}))


def in_plain_transformers(path: str | Path, dtype: str, prompts: list[list[int]]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--plain", str(path), "--dtype", dtype]
    done = subprocess.run(command, input=json.dumps(prompts), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/demo"))
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.0, 0.5, 1.5, 2.0, 3.0])
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.plain:
        plain(arguments.plain, arguments.dtype)
        return

    import hneurons
    from figures import Figure, save
    from hneurons.interventions import scale
    from hneurons.interventions.export import export
    from hneurons.models.source import find_source
    from hneurons.probes.probe import Probe
    from hneurons.study.asking import read_questions
    from hneurons.study.run import Run

    run = Run.open(arguments.run)
    neurons, name = Probe.load(run.probe).hneurons, run.config.model.name
    model = hneurons.load(name, dtype=arguments.dtype, device="cpu")
    asked = read_questions(run, next(iter(run.config.evaluate)))[: arguments.prompts]
    prompts = [run.config.prompt.token_ids(question.text, model.tokenizer) for question in asked]
    intact = answers(model.hf, prompts)
    base = in_plain_transformers(find_source(name).location, arguments.dtype, prompts)
    print(f"{len(neurons)} neurons of {name}, {len(prompts)} prompts, {arguments.dtype}")
    settings = {"model": name, "neurons": len(neurons), "prompts": len(prompts), "dtype": arguments.dtype}
    figures = []
    print("alpha  equal to hooked  differ from base  rounding  export s  ms a token (base)")
    for alpha in arguments.alphas:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            report = export(name, neurons, alpha, Path(folder) / "edited")
            seconds = time.perf_counter() - start
            found = in_plain_transformers(Path(folder) / "edited", arguments.dtype, prompts)
        with scale(model, neurons, alpha):
            hooked = answers(model.hf, prompts)
        equal = sum(a == b for a, b in zip(found["answers"], hooked, strict=True))
        changed = sum(a != b for a, b in zip(found["answers"], intact, strict=True))
        print(
            f"{alpha:5g}  {equal:8} of {len(prompts):3}  {changed:9} of {len(prompts):3}  {report.rounding:8.2g}"
            f"  {seconds:8.2f}  {1000 * found['seconds']:.3f} ({1000 * base['seconds']:.3f})",
            flush=True,
        )
        said = {"at_least": len(prompts)} if arguments.dtype == "float32" else {}
        figures += [
            Figure(
                what=f"equal answers in plain transformers, alpha {alpha:g}", against="the hooked model", value=equal,
                unit=f"of {len(prompts)}", note=f"{changed} differ from the base model's", settings=settings, **said,
            ),
            Figure(
                what=f"time per token, alpha {alpha:g}", against="the base model", settings=settings,
                value=found["seconds"] / base["seconds"], note=f"medians of {REPEATS} runs, one process each",
            ),
        ]  # fmt: skip
    save(arguments.json, figures)


if __name__ == "__main__":
    main()
