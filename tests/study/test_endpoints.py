"""A study whose samples, verdicts and spans come from endpoints, held against the local one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hneurons.endpoint import Account
from hneurons.errors import ConfigChangedError, EndpointError, RunError
from hneurons.files import read_json, write_json
from hneurons.questions.question import Question
from hneurons.responses import remote
from hneurons.responses.judging import judge
from hneurons.responses.response import Response
from hneurons.responses.spans import answer_spans
from hneurons.study.asking import read_questions, read_responses
from hneurons.study.config import StudyConfig, make_config
from hneurons.study.judging import Judged, read_judged
from hneurons.study.results import read_results
from hneurons.study.run import Run
from hneurons.study.stages import run_stages

TINY: Mapping[str, Any] = {
    "train": {"questions": "atlas/cities", "split": "train", "limit": 40},
    "evaluate": {"in-domain": {"questions": "atlas/cities", "split": "validation", "limit": 16}},
    "sampling": {"n_samples": 2},
    "selection": {"minimum": 1},
    "probe": {"n_grid": 2, "n_known": 2},
    "controls": {"n_random": 1, "n_layer_matched": 1, "n_permuted": 1, "n_stability": 2, "n_bootstrap": 10},
}
QUOTED = re.compile(r"<(\w+) ([0-9a-f]{12})>\n(.*?)\n</\1 \2>", re.DOTALL)


def config(folder: Path, **endpoints: Any) -> StudyConfig:
    write_json(folder / "tiny.json", {**TINY, **({"endpoints": endpoints} if endpoints else {})})
    return make_config(folder / "tiny.json")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tiny study by this process and the rules, judged."""
    folder = tmp_path_factory.mktemp("local")
    run = Run.start(folder / "run", config(folder))
    run_stages(run, until="judge")
    return run


def begin(path: Path, made: StudyConfig, local: Run, *kept: str) -> Run:
    """A run that has the questions of the local one, and what else is to be kept of it."""
    run = Run.start(path, made)
    for name in ("questions", *kept):
        shutil.copytree(local.path / name, path / name)
    return run


@pytest.fixture(scope="module")
def answering(local: Run, acts: ModuleType) -> Callable[[Any], Any]:
    """What a server says: the local run's responses to its seeds, and the verdicts and spans of the rules."""
    questions: dict[str, Question] = {}
    said: dict[int, Response] = {}
    for name in local.config.sets:
        responses = read_responses(local, name)
        for question in read_questions(local, name):
            questions[question.text] = question
            for each in responses[question.id]:
                said[remote._seed(local.config.sampling.seed, question.id, each.sample)] = each

    def script(seen: Any) -> Any:
        if "response_format" not in seen.body:
            response = said[seen.body["seed"]]
            assert seen.last == next(each.text for each in questions.values() if each.id == response.question_id)
            act = acts.says(response.text, response.finish, prompt_tokens=0)
            if "return_token_ids" not in seen.body:
                return act
            body = json.loads(act.body)
            body["choices"][0]["token_ids"] = [*response.token_ids, *([2] if response.finish == "stop" else [])]
            return acts.Act(json.dumps(body))
        quoted = {name: text for name, _, text in QUOTED.findall(seen.last)}
        question, response = questions[quoted["question"]], quoted["response"]
        if seen.body["response_format"]["json_schema"]["name"] == "marked":
            spans = answer_spans(response, question.text)
            return acts.says(json.dumps({"answer": [response[slice(*span)] for span in spans]}))
        return acts.says(json.dumps({"reason": "so it is", "verdict": judge(response, question)}))

    return script


def endpoints(server: Any, *names: str, **settings: Any) -> dict[str, Any]:
    return {name: {"url": server.url, "model": f"{name}-model", **settings} for name in names}


def told(judged: Judged) -> list[tuple[Any, ...]]:
    """What must not depend on who samples, judges and marks."""
    return [
        (name, each.key, each.part, each.hallucinated, each.spans)
        for name, answers in judged.answers.items()
        for each in answers
    ]


def test_a_study_by_endpoints_equals_the_local_one(
    local: Run, answering: Callable[[Any], Any], server: Any, tmp_path: Path
) -> None:
    server.script = answering
    made = config(tmp_path, **endpoints(server, "sample", "judge", "spans", price_prompt=1, price_completion=1))
    run = begin(tmp_path / "run", made, local)
    run_stages(run)
    judged, expected = read_judged(run), read_judged(local)
    assert told(judged) == told(expected)
    assert judged.counts == expected.counts
    for name in run.config.sets:
        assert read_responses(run, name) == read_responses(local, name)
        for file in sorted(local.responses(name).glob("*.parquet")):
            assert (run.responses(name) / file.name).read_bytes() == file.read_bytes()
    responses = sum(counts.responses for counts in judged.counts.values())
    assert judged.endpoints is not None
    assert {name: each.model for name, each in judged.endpoints.items()} == {
        name: f"{name}-model" for name in ("sample", "judge", "spans")
    }
    assert judged.endpoints["sample"].asked == responses == 40 * 2 + 16
    tried = sum("response_format" not in seen.body for seen in server.seen) - responses
    assert 0 < tried <= 8  # what the server takes was found out, for ten samples and for one
    assert not any(each.failed for each in judged.endpoints.values())
    cost = judged.endpoints["judge"].cost
    assert cost == pytest.approx(judged.endpoints["judge"].asked * (7 + 3) / 1e6)
    assert read_results(run).endpoints == judged.endpoints
    assert expected.endpoints is None
    assert not (local.path / "verdicts").exists()


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on_where_it_was(
    local: Run, answering: Callable[[Any], Any], acts: ModuleType, server: Any, tmp_path: Path
) -> None:
    server.script = answering
    made = config(tmp_path, **endpoints(server, "judge", "spans"))
    whole = begin(tmp_path / "whole", made, local, "responses")
    run_stages(whole, until="judge")
    asked = len(server.seen)
    server.seen.clear()
    stopped = begin(tmp_path / "stopped", made, local, "responses")
    server.script = lambda seen: answering(seen) if len(server.seen) <= 40 else acts.fails(401, "no longer")
    with pytest.raises(EndpointError, match="no longer"):
        run_stages(stopped, until="judge")
    assert not stopped.judged.exists()
    kept = len(list(stopped.verdicts.rglob("*.json")))
    assert 32 <= kept <= 40
    server.seen.clear()
    server.script = answering
    run_stages(stopped, until="judge")
    assert len(server.seen) == asked - kept
    assert stopped.judged.read_bytes() == whole.judged.read_bytes()
    assert told(read_judged(stopped)) == told(read_judged(local))


@pytest.mark.slow
def test_sampling_that_is_stopped_goes_on_where_it_was(
    local: Run, answering: Callable[[Any], Any], acts: ModuleType, server: Any, tmp_path: Path
) -> None:
    """Parts that were whole are kept, the others are asked for again, and every byte is as if nothing had happened."""
    write_json(tmp_path / "small.json", {**TINY, "batch_size": 8, "endpoints": endpoints(server, "sample")})
    made = make_config(tmp_path / "small.json")
    server.script = answering
    whole = begin(tmp_path / "whole", made, local)
    run_stages(whole, until="sample")
    asked = len(server.seen)
    server.seen.clear()
    stopped = begin(tmp_path / "stopped", made, local)
    server.script = lambda seen: answering(seen) if len(server.seen) <= 60 else acts.fails(401, "no longer")
    with pytest.raises(EndpointError, match="no longer"):
        run_stages(stopped, until="sample")
    kept = {file: file.stat().st_mtime_ns for file in stopped.path.glob("responses/**/*.parquet")}
    assert 0 < len(kept) < 7
    server.seen.clear()
    server.script = answering
    run_stages(stopped, until="sample")
    assert len(server.seen) < asked
    assert all(file.stat().st_mtime_ns == time for file, time in kept.items())
    files = {file.relative_to(whole.path) for file in whole.path.glob("responses/**/*") if file.is_file()}
    assert files == {f.relative_to(stopped.path) for f in stopped.path.glob("responses/**/*") if f.is_file()}
    assert len(files) == 2 * (5 + 2)
    assert all((stopped.path / file).read_bytes() == (whole.path / file).read_bytes() for file in files)


@pytest.mark.slow
def test_failures_are_left_out_and_counted(
    local: Run, answering: Callable[[Any], Any], acts: ModuleType, server: Any, tmp_path: Path
) -> None:
    """Of two evaluation questions one is never sampled, of the other there is no verdict; a third is marked by rule."""
    questions = read_questions(local, "in-domain")
    used = {each.question_id for each in read_judged(local).answers["in-domain"]}
    unsampled, unjudged, unmarked = [each for each in questions if each.id in used][:3]

    def script(seen: Any) -> Any:
        if "response_format" not in seen.body:
            return acts.fails(400) if seen.last == unsampled.text else answering(seen)
        first = seen.body["messages"][1]["content"]
        kind = seen.body["response_format"]["json_schema"]["name"]
        if kind == "graded" and f"\n{unjudged.text}\n" in first:
            return acts.says("I would rather not say: correct")
        if kind == "marked" and f"\n{unmarked.text}\n" in first:
            return acts.says('{"answer": ["words of its own"]}')
        return answering(seen)

    server.script = script
    run = begin(tmp_path / "run", config(tmp_path, **endpoints(server, "sample", "judge", "spans")), local)
    run_stages(run, until="judge")
    judged, expected = read_judged(run), read_judged(local)
    counts = judged.counts["in-domain"]
    assert counts.left_out["no_response"] == counts.left_out["no_verdict"] == 1
    assert counts.verdicts["none"] == 1
    assert counts.questions == sum(counts.used.values()) + sum(counts.left_out.values())
    assert sum(counts.verdicts.values()) == counts.responses == counts.questions - 1
    assert judged.endpoints is not None
    assert judged.endpoints["sample"].failed == {"refused as a bad request (400)": 1}
    assert judged.endpoints["judge"].failed == {"no usable reply": 1}
    assert judged.endpoints["spans"].failed == {"no usable reply": 1}
    assert judged.endpoints["spans"].notes == {"marked_by_rule": 1}
    spans = {name: {each.key: each.spans for each in answers} for name, answers in judged.answers.items()}
    rules = {name: {each.key: each.spans for each in answers} for name, answers in expected.answers.items()}
    assert not {unsampled.id, unjudged.id} & {each.question_id for each in judged.answers["in-domain"]}
    assert all(
        spans["in-domain"][key] == rules["in-domain"][key]
        for key in spans["in-domain"].keys() & rules["in-domain"].keys()
    )


def test_where_an_endpoint_is_decides_nothing_and_which_model_does(local: Run, server: Any, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", config(tmp_path, **endpoints(server, "judge")))
    run.responses("train").mkdir(parents=True)
    moved = config(tmp_path, judge={"url": "http://127.0.0.1:9/v1", "model": "judge-model", "concurrency": 2})
    assert Run.start(run.path, moved).config == moved
    assert Run.open(run.path).config == moved
    with pytest.raises(ConfigChangedError, match=r"endpoints\.judge\.model: judge-model there, other now"):
        Run.start(run.path, config(tmp_path, judge={"url": server.url, "model": "other"}))
    with pytest.raises(ConfigChangedError, match="endpoints"):
        Run.start(run.path, config(tmp_path))


def test_runs_of_before_are_still_read(local: Run, tmp_path: Path) -> None:
    """Nothing of endpoints is in their files."""
    old = read_json(local.path / "config.json")
    assert old.pop("endpoints") is None
    run = Run.start(tmp_path / "run", local.config)
    run.responses("train").mkdir(parents=True)
    write_json(run.path / "config.json", old)
    assert Run.start(run.path, local.config).config == local.config
    judged = read_json(local.judged)
    assert judged.pop("endpoints") is None
    write_json(run.judged, judged)
    assert read_judged(run) == read_judged(local)


def test_settings_of_endpoints(server: Any, tmp_path: Path) -> None:
    made = make_config(judge_url=server.url, judge_model="m")
    assert made.endpoints is not None
    assert made.endpoints.judge is not None
    assert made.endpoints.judge.model == "m"
    assert made.endpoints.sample is None
    assert make_config().endpoints is None
    with pytest.raises(RunError, match=r"endpoints\.judge\.model: Field required"):
        make_config(judge_url=server.url)
    with pytest.raises(RunError, match=r"endpoints.*max_tokens has no meaning; responses are sampled as"):
        config(tmp_path, **endpoints(server, "sample", max_tokens=9))
    write_json(tmp_path / "wrong.json", {"endpoints": "http://localhost"})
    with pytest.raises(RunError, match=r"endpoints in .* must be a table"):
        make_config(tmp_path / "wrong.json")
    with pytest.raises(RunError, match="holds a name, password, query or fragment"):
        config(tmp_path, judge={"url": "http://me:secret@localhost/v1", "model": "m"})


def test_an_account_that_is_summed() -> None:
    first = Account(model="m", url="u", asked=2, failed={"a": 1}, prompt_tokens=3, completion_tokens=1, cost=0.5)
    second = first.model_copy(update={"failed": {"a": 1, "b": 2}, "notes": {"x": 1}})
    from hneurons.endpoint.account import total

    assert total([first, second]) == Account(
        model="m",
        url="u",
        asked=4,
        failed={"a": 2, "b": 2},
        prompt_tokens=6,
        completion_tokens=2,
        cost=1.0,
        notes={"x": 1},
    )
