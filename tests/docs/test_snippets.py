"""Every page says what is true: its Python runs, top to bottom, and its commands exist.

A block is left out only by a comment in the line before it that gives the reason: `<!-- not run: it needs a GPU -->`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import typer

ROOT = Path(__file__).parents[2]
PAGES = sorted(page for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if page.exists())

FENCE = re.compile(r"^(?P<indent>\s*)(?P<mark>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
NOT_RUN = re.compile(r"<!--\s*not run\b:?\s*(?P<reason>.*?)\s*-->")
PYTHON = {"python"}
SHELL = {"bash", "console"}
OTHER = {"", "text", "json", "jsonl", "yaml", "toml", "mermaid", "html", "css"}


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line of code, `not_run` the reason to leave it out."""

    language: str
    code: str
    line: int
    not_run: str | None


def blocks(text: str) -> Iterator[Block]:
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        if opening is None:
            at += 1
            continue
        marker = NOT_RUN.search(lines[at - 1]) if at else None
        if marker and not marker["reason"]:
            raise ValueError(f"line {at}: a block is left out without a reason")
        start, indent, mark = at + 1, len(opening["indent"]), opening["mark"]
        at = start
        while at < len(lines) and lines[at].strip() != mark:
            at += 1
        if at == len(lines):
            raise ValueError(f"line {start}: the block is not closed")
        code = "\n".join(line[indent:] for line in lines[start:at])
        yield Block(opening["language"], code, start + 1, marker["reason"] if marker else None)
        at += 1


def run(page: Path) -> int:
    """Run the Python of a page in one namespace; how many blocks there were."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    ran = 0
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language in PYTHON and block.not_run is None:
            code = "\n" * (block.line - 1) + block.code  # so that a traceback names the line of the page
            exec(compile(code, str(page), "exec"), namespace)
            ran += 1
    return ran


def commands(page: Path) -> Iterator[tuple[int, list[str]]]:
    """The `hneurons` commands that a page shows, each with its line."""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language not in SHELL or block.not_run is not None:
            continue
        text = block.code.replace("\\\n", "  ")
        for offset, line in enumerate(text.split("\n")):
            if block.language == "console":
                if not line.startswith("$ "):
                    continue
                line = line[2:]
            for words in split_pipeline(shlex.split(line, comments=True)):
                if words and Path(words[0]).name == "hneurons":
                    yield block.line + offset, words[1:]


def split_pipeline(words: list[str]) -> Iterator[list[str]]:
    """The commands of a line, without variables set before them."""
    part: list[str] = []
    for word in [*words, ";"]:
        if word in ("|", "&&", "||", ";", ">"):
            yield part
            part = []
        elif part or "=" not in word:
            part.append(word)


def check_command(words: list[str], app: typer.Typer) -> None:
    """Check that a command and its options exist."""
    command: Any = typer.main.get_command(app)
    path = ["hneurons"]
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        assert name in command.commands, f"there is no command {' '.join([*path, name])!r}"
        command = command.commands[name]
        path.append(name)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        option = word.split("=")[0]
        if word.startswith("-") and not re.fullmatch(r"-\d.*|-", word):
            assert option in known | {"--help"}, f"{' '.join(path)!r} has no option {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    shown = list(commands(page))
    if not shown:
        return
    from hneurons.cli import build

    app = build()
    for line, words in shown:
        try:
            check_command(words, app)
        except AssertionError as error:
            raise AssertionError(f"{page.name}, line {line}: {error}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_are_of_known_languages(page: Path) -> None:
    """A block called "py" or "sh" would never be run."""
    assert {block.language for block in blocks(page.read_text(encoding="utf-8"))} <= PYTHON | SHELL | OTHER


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


PAGE = """\
# A page

```python
x = 1
```

1. An indented block:

    ```python
    if x:
        y = x + 1
    ```

<!-- not run: it needs a GPU -->
```python
raise RuntimeError("run all the same")
```

~~~python
text = '''
```
'''
assert y == 2
~~~
"""


def test_runner_runs_every_block_in_one_namespace(tmp_path: Path) -> None:
    assert run(write(tmp_path / "page.md", PAGE)) == 3
    assert [block.line for block in blocks(PAGE)] == [4, 10, 16, 20]


def test_runner_fails_with_the_line_of_the_page(tmp_path: Path) -> None:
    page = write(tmp_path / "page.md", PAGE.replace("y == 2", "y == 3"))
    with pytest.raises(AssertionError) as caught:
        run(page)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(page), 23)
    assert page.read_text().split("\n")[22] == "assert y == 3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- not run: -->\n```python\n1 / 0\n```", "without a reason"),
        ("<!-- not run -->\n```python\n1 / 0\n```", "without a reason"),
        ("```python\n1 / 0\n", "not closed"),
    ],
)
def test_runner_refuses_a_page_that_hides_a_block(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run(write(tmp_path / "page.md", text))


def test_another_comment_leaves_nothing_out(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(write(tmp_path / "page.md", "<!-- skip: later -->\n```python\n1 / 0\n```"))


def toy_app() -> typer.Typer:
    app, world = typer.Typer(), typer.Typer()

    @app.command()
    def study(
        model: str = "m", out: Path = Path("runs"), verbose: bool = typer.Option(False, "--verbose", "-v")
    ) -> None:
        """A command."""

    @world.command("train")
    def train(stage: str = "base") -> None:
        """A command of a group."""

    @world.command("show")
    def show() -> None:
        """Another."""

    app.add_typer(world, name="world")
    return app


@pytest.mark.parametrize(
    "line",
    [
        "hneurons study --model m --out=runs/x -v",
        "hneurons world train --stage base",
        "hneurons --help",
        "hneurons study --help | head",
        "HF_HUB_OFFLINE=1 hneurons study && ls -l --not-ours",
    ],
)
def test_good_commands(line: str, tmp_path: Path) -> None:
    for block in (f"```bash\n{line}  # a comment\n```", f"```console\n$ {line}\nhneurons prints --this\n```"):
        ((number, words),) = commands(write(tmp_path / "page.md", block))
        assert number == 2
        check_command(words, toy_app())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hneurons studdy", "no command 'hneurons studdy'"),
        ("hneurons world tune", "no command 'hneurons world tune'"),
        ("hneurons study --modell m", "'hneurons study' has no option --modell"),
        ("hneurons study \\\n  --model m \\\n  --modell=m", "has no option --modell"),
        ("ls && hneurons study -x", "has no option -x"),
    ],
)
def test_bad_commands(line: str, message: str, tmp_path: Path) -> None:
    ((_, words),) = commands(write(tmp_path / "page.md", f"```bash\n{line}\n```"))
    with pytest.raises(AssertionError, match=message):
        check_command(words, toy_app())
