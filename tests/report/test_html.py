from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from hneurons.cli import build
from hneurons.report.html import POLICY, render, write_report
from hneurons.study.results import Results
from hneurons.study.run import Run

BAD = "<script>alert(1)</script><img src=x onerror=alert(1)> \"'&amp;"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page as a browser takes it: tags with attributes, tables by caption, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
            self.captions.append("")
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if "table" in self.open:
            if "caption" in self.open:
                self.captions[-1] += data
            elif self.open[-1] in ("td", "th", "small", "b", "span") and self.tables[-1]:
                self.tables[-1][-1][-1] += data

    def table(self, begins: str) -> list[list[str]]:
        """The rows of the one table whose caption begins so, blanks collapsed."""
        (found,) = [
            rows for rows, caption in zip(self.tables, self.captions, strict=True) if caption.startswith(begins)
        ]
        return [[" ".join(cell.split()) for cell in row] for row in found]

    def fetched(self) -> list[str]:
        """Everything that a browser would load."""
        found = []
        for tag, attributes in self.tags:
            for key, value in attributes.items():
                if key in ("src", "srcset", "action", "data", "poster", "background", "formaction", "ping"):
                    found.append(f"{tag} {key}={value}")
                if key in ("href", "xlink:href") and not (value or "").startswith("#"):
                    found.append(f"{tag} {key}={value}")
        text = "".join(self.words) + " ".join(v or "" for _, attributes in self.tags for v in attributes.values())
        return found + re.findall(r"@import[^;]*|url\((?!#)[^)]*\)", text)


@pytest.fixture(scope="module")
def written(results: Results) -> str:
    return render(results)


@pytest.fixture(scope="module")
def page(written: str) -> Page:
    return Page(written)


def percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def shares(found: dict[str, float]) -> str:
    return f"{percent(found['value'])} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def plain(found: dict[str, float], sign: str = "") -> str:
    numbers = f"{found['value']:{sign}.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    return numbers.replace("-", "−")


def check_tables(page: Page, results: Results) -> None:
    """Every number of the detection, entropy, path, stability and neuron tables is that of the JSON."""
    told = results.model_dump(mode="json")
    for eval_set in ("in-domain", "long-tail", "cross-domain", "invented"):
        found = {row[0]: row[1:] for row in page.table(f"{eval_set}: ")[1:]}
        rows = [row for row in told["evaluation"]["detection"] if row["eval_set"] == eval_set]
        assert len(found) == len(rows) + 4
        for row in rows:
            name = row["detector"] + told["evaluation"]["details"].get(row["detector"], "")
            ranks = row["auroc"]["value"] is not None
            if ranks:
                expected = [plain(row["auroc"]), shares(row["accuracy"]), shares(row["accuracy_at_threshold"])]
            else:
                expected = [shares(row["flagged"]), shares(row["flagged_at_threshold"])]
            assert found[name] == [*expected, plain(row["brier"]), plain(row["ece"])]
        for control in told["evaluation"]["controls"]:
            if control["eval_set"] == eval_set:
                band = control["auroc"] if eval_set != "invented" else control["flagged"]
                factor, digits, unit = (1, 3, "") if eval_set != "invented" else (100, 1, "%")
                expected_ = f"{factor * band['low']:.{digits}f} to {factor * band['high']:.{digits}f}{unit}"
                assert found[f"{control['control']}{control['draws']} draws"][0] == expected_
    gains = {row[0]: row[1:] for row in page.table("AUROC; the difference")[1:]}
    for each in told["evaluation"]["additions"]:
        parts = [each[key] for key in ("entropy", "probe", "joint")]
        if each["difference"]["value"] is None:
            assert gains[each["eval_set"]] == ["–"] * 4
        else:
            assert gains[each["eval_set"]] == [*map(plain, parts), plain(each["difference"], "+")]
    for row, point in zip(page.table("The path.")[1:], told["fit"]["curve"], strict=True):
        known = point["known_accuracy"]
        assert row == [
            f"{point['C']:.3g}", f"{point['n_hneurons']:,}", f"{point['per_mille']:.2f}",
            percent(point["heldout_accuracy"]), f"{point['heldout_auroc']:.3f}",
            "–" if known is None else percent(known), point["excluded"],
        ]  # fmt: skip
    for row, point in zip(page.table("Over C")[1:], told["fit"]["stability"], strict=True):
        size, overlap = point["n_hneurons"], point["jaccard"]
        assert row[1:] == [
            str(point["resamples"]),
            "–" if size is None else f"{size:.1f}",
            "–" if overlap is None else f"{overlap:.2f}",
        ]
    selected = {tuple(each["neuron"]): each["share"] for each in told["fit"]["frequencies"]}
    neurons = page.table("Every H-Neuron")[1:]
    for row, (layer, index), weight in zip(neurons, told["probe"]["neurons"], told["probe"]["weights"], strict=True):
        assert row[:3] == [str(layer), str(index), f"{weight:#.3g}"]
        assert row[4].startswith(f"{100 * selected.get((layer, index), 0.0):.0f}% [")
    asked = {row[0]: row[1:] for row in page.table("From questions")[1:]}
    for name, counts in told["counts"].items():
        verdicts = [counts["verdicts"][key] for key in ("correct", "incorrect", "refusal")]
        sums = [
            sum(n for part, n in counts["used"].items() if part.endswith(kind)) for kind in ("faithful", "hallucinated")
        ]
        numbers = [counts["questions"], counts["responses"], *verdicts, counts["cut_off"], *sums]
        assert asked[name] == [f"{number:,}" for number in numbers]


def test_every_number_of_the_tables_is_the_one_of_the_json(page: Page, results: Results) -> None:
    check_tables(page, results)


@pytest.mark.parametrize("field", ["auroc", "accuracy", "accuracy_at_threshold", "brier", "ece"])
def test_the_check_sees_a_number_of_another_column(page: Page, results: Results, field: str) -> None:
    changed = tuple(
        row.model_copy(update={field: row.log_loss}) if row.detector == "length" else row
        for row in results.evaluation.detection
    )
    evaluation = results.evaluation.model_copy(update={"detection": changed})
    with pytest.raises(AssertionError):
        check_tables(page, results.model_copy(update={"evaluation": evaluation}))


def test_nothing_is_fetched_and_nothing_runs(page: Page) -> None:
    assert page.fetched() == []
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    policy = [attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv")]
    assert policy == [POLICY]
    assert POLICY.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")


@pytest.mark.parametrize(
    "bad",
    [
        '<img src="//e.org/x.png">',
        '<link rel="stylesheet" href="https://e.org/x.css">',
        '<a href="http://e.org">x</a>',
        "<style>@import 'x.css';</style>",
        '<p style="background: url(http://e.org)">x</p>',
    ],
)
def test_the_check_sees_what_would_be_fetched(bad: str) -> None:
    assert Page(bad).fetched()


def test_text_of_models_and_questions_is_text(small: Results) -> None:
    one = small.examples[1].model_copy(
        update={"question": BAD, "response": BAD, "right_answer": BAD, "spans": ((3, 30),)}
    )
    sets = {**small.sets, "train": {**small.sets["train"], "source": BAD, "licence": BAD, "name": BAD}}
    config = {**small.config, "prompt": {"system": BAD}}
    model = small.model.model_copy(update={"name": BAD})
    text = render(small.model_copy(update={"examples": (one,), "sets": sets, "config": config, "model": model}))
    found = Page(text)
    assert {"script", "img"}.isdisjoint(tag for tag, _ in found.tags)
    assert found.fetched() == []
    assert "".join(found.words).count(BAD) >= 6
    assert "<script" not in text
    marked = re.search(r'<span class="said">(.*?)</span>', text, re.DOTALL)
    assert marked is not None
    assert "".join(Page(marked[1]).words) == BAD
    (mark,) = re.findall(r"<mark[^>]*>(.*?)</mark>", marked[1])
    assert "".join(Page(mark).words) == BAD[3:30]


def test_the_page_says_what_holds_and_what_does_not(page: Page, results: Results) -> None:
    said = " ".join("".join(page.words).split())
    assert "The H-Neurons do NOT measurably add to entropy" in said
    assert "The H-Neurons add to entropy" in said
    assert "all 160 answers are hallucinated" in said
    for each in results.comparisons:
        if each.better is not None:
            assert each.sentence.removeprefix(f"On {each.eval_set}, the") in said
    assert "is NOT above the interval" in said
    assert "CC BY 4.0 (GeoNames)" in said
    assert results.model.weights_digest in said


def test_a_reader_without_sight_or_mouse_gets_along(page: Page) -> None:
    assert [attributes.get("lang") for tag, attributes in page.tags if tag == "html"] == ["en"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        if tag == "a":
            assert (attributes["href"] or "").removeprefix("#") in ids
        if tag == "svg":
            assert attributes["role"] == "img"
            assert set((attributes["aria-labelledby"] or "").split()) <= set(ids)
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
        if (attributes.get("class") or "").startswith("scroll"):
            assert attributes["tabindex"] == "0"
            assert attributes["aria-label"]
    assert sum(tag == "h1" for tag, _ in page.tags) == 1


def test_a_run_gets_its_report(finished_run: Run) -> None:
    path = write_report(finished_run)
    assert path == finished_run.report
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "the probe was fitted on 2025-01-02 with" in text
    assert not [each.name for each in finished_run.path.iterdir() if each.name.endswith(".tmp")]


@pytest.mark.parametrize("command", ["report", "study"])
def test_the_commands_write_it(finished_run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    done: list[str] = []
    monkeypatch.setattr("hneurons.study.stages.run_stages", lambda run, until="report", engine=None: done.append(until))
    monkeypatch.setattr("hneurons.study.config.make_config", lambda *_, **__: finished_run.config)
    where = [str(finished_run.path)] if command == "report" else ["--out", str(finished_run.path)]
    result = CliRunner().invoke(build(), [command, *where], catch_exceptions=False)
    assert result.exit_code == 0
    assert done == ["report"]
    assert finished_run.report.exists()
    assert result.stdout.rstrip().endswith(str(finished_run.report))
