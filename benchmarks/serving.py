"""Sampling from a server: many requests under way against one, samples together against one by one, prompts in order.

    python benchmarks/serving.py                       # starts transformers serve with Atlas, if what it needs is there
    python benchmarks/serving.py --url http://localhost:8000/v1 --served my-model --model my-model --tokens exact

Ways take turns, `--repeats` times, and what is compared is tokens a second. Prompts in order are held against the same
prompts shuffled, with contexts that several questions share: what a prefix cache saves. The cache of the server that is
started is too small for all contexts; for one that holds them all, order matters less.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import hneurons
from figures import Figure, add_json, save
from hneurons.models.language_model import LanguageModel
from hneurons.questions import PromptFormat, load_questions
from hneurons.questions.question import Question
from hneurons.responses.remote import Served
from hneurons.responses.sampling import Sampling
from hneurons.responses.served import ServedSettings
from server import MISSING, can_serve, generation, serving
from timing import spread

Way = Callable[[], int]


def main() -> None:
    arguments = parse()
    model = hneurons.load(arguments.model, dtype=arguments.dtype)
    with ExitStack() as stack:
        settings = {"url": arguments.url, "model": arguments.served, "tokens": arguments.tokens}
        if arguments.url is None:
            if not can_serve():
                raise SystemExit(MISSING)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url, name = stack.enter_context(serving(model, folder, continuous=True, blocks=arguments.blocks))
            extra = {"generation_config": generation(model, 50)}
            settings = {"url": url, "model": name, "tokens": "streamed", "leave_out": ["top_k"], "extra": extra}
        figures = [
            *in_flight(model, settings, arguments),
            *together(model, settings, arguments),
            *in_order(model, settings, arguments),
        ]
    for figure in figures:
        print(f"{figure.what} against {figure.against}: {figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]")
    save(arguments.json, figures)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="atlas-7m-instruct", help="the local copy")
    parser.add_argument("--dtype", default="float32", help="type of the local weights")
    parser.add_argument("--url", help="of a server that runs; one is started where this is left out")
    parser.add_argument("--served", help="name of the model there")
    parser.add_argument("--tokens", default="exact", choices=("exact", "streamed", "retokenised"))
    parser.add_argument("--questions", default="atlas/cities", help="name or path of a question set")
    parser.add_argument("--limit", type=int, default=48, help="number of questions")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--max-new-tokens", type=int, default=24)
    parser.add_argument("--flights", type=int, nargs="+", default=[8, 32], help="requests under way, against one")
    parser.add_argument("--contexts", type=int, default=16, help="contexts, six questions to each")
    parser.add_argument(
        "--blocks", type=int, default=64, help="of 32 tokens, in the cache of the server that is started"
    )
    parser.add_argument("--repeats", type=int, default=5)
    add_json(parser)
    return parser.parse_args()


def served(model: LanguageModel, settings: dict[str, object], **more: object) -> Served:
    return Served(ServedSettings.model_validate({**settings, "max_failed": 1, **more}), model)


def asked(arguments: argparse.Namespace) -> list[Question]:
    return list(load_questions(arguments.questions, split="validation", limit=arguments.limit).questions)


def in_flight(model: LanguageModel, settings: dict[str, object], arguments: argparse.Namespace) -> list[Figure]:
    """Requests one by one, and so many at a time."""
    sampling = Sampling(n_samples=arguments.samples, max_new_tokens=arguments.max_new_tokens)
    questions = asked(arguments)

    def way(flight: int) -> Way:
        one = served(model, settings, concurrency=flight, together=False)
        return lambda: one.sample(questions, PromptFormat(), sampling).account.completion_tokens

    rates = in_turn({flight: way(flight) for flight in [1, *arguments.flights]}, arguments.repeats)
    for flight, found in rates.items():
        print(f"{flight:4} under way {spread(found)[0]:8.0f} tokens a second")
    return [
        Figure.of(
            spread([many / one for many, one in zip(rates[flight], rates[1], strict=True)]),
            f"tokens a second, {flight} requests under way", "one at a time", model=arguments.model,
            questions=len(questions), samples=arguments.samples,
        )
        for flight in arguments.flights
    ]  # fmt: skip


def together(model: LanguageModel, settings: dict[str, object], arguments: argparse.Namespace) -> list[Figure]:
    """All samples of a question in one request, and a request for each."""
    sampling = Sampling(n_samples=arguments.samples, max_new_tokens=arguments.max_new_tokens)
    questions = asked(arguments)
    ways = {name: served(model, settings, together=name == "together") for name in ("together", "apart")}
    requests = {}
    for name, one in ways.items():
        one.sample(questions[:1], PromptFormat(), sampling)
        before = one.endpoint.wire.completions
        one.sample(questions[:1], PromptFormat(), sampling)
        requests[name] = one.endpoint.wire.completions - before
    if requests["together"] == requests["apart"]:
        print("the server gives one text a request: samples together are not measured")
        return []
    rates = in_turn(
        {
            name: lambda one=one: one.sample(questions, PromptFormat(), sampling).account.completion_tokens
            for name, one in ways.items()
        },
        arguments.repeats,
    )
    return [
        Figure.of(
            spread([a / b for a, b in zip(rates["together"], rates["apart"], strict=True)]),
            "tokens a second, all samples of a question in one request", "a request for each", model=arguments.model,
            questions=len(questions), samples=arguments.samples,
        )
    ]  # fmt: skip


def in_order(model: LanguageModel, settings: dict[str, object], arguments: argparse.Namespace) -> list[Figure]:
    """Questions on one context beside each other, and the same questions in any order."""
    cities = load_questions(arguments.questions, split="train", limit=arguments.contexts * 14).questions
    contexts = [" ".join(each.text for each in cities[i :: arguments.contexts]) for i in range(arguments.contexts)]
    grouped = [
        Question(id=f"{i}-{j}", text=f"{context} {each.text}", aliases=("x",))
        for i, context in enumerate(contexts)
        for j, each in enumerate(asked(arguments)[:6])
    ]
    shuffled = random.Random(0).sample(grouped, len(grouped))
    sampling = Sampling(n_samples=1, max_new_tokens=4)
    one = served(model, settings, concurrency=8)

    def way(questions: list[Question]) -> Way:
        def run() -> int:
            found: list[int] = []
            parts = {place: [question] for place, question in enumerate(questions)}  # sent in just this order
            one.sample_parts(parts, PromptFormat(), sampling, lambda _, part: found.append(part.account.prompt_tokens))
            return sum(found)

        return run

    rates = in_turn({"grouped": way(grouped), "shuffled": way(shuffled)}, arguments.repeats)
    return [
        Figure.of(
            spread([a / b for a, b in zip(rates["grouped"], rates["shuffled"], strict=True)]),
            "prompt tokens a second, questions on one context together", "shuffled", model=arguments.model,
            questions=len(grouped), contexts=arguments.contexts,
        )
    ]  # fmt: skip


def in_turn(ways: dict[object, Way], repeats: int) -> dict[object, list[float]]:
    """Tokens a second of every way and repeat; one round before warms up."""
    rates: dict[object, list[float]] = {name: [] for name in ways}
    for repeat in range(-1, repeats):
        for place in range(len(ways)):
            name = list(ways)[(place + repeat) % len(ways)]
            begun = time.perf_counter()
            tokens = ways[name]()
            if repeat >= 0:
                rates[name].append(tokens / (time.perf_counter() - begun))
    return rates


if __name__ == "__main__":
    main()
