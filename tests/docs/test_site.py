"""The site builds: every page is in the navigation, and every link leads somewhere."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

pytest.importorskip("material", reason="the documentation tools are not installed (pip install 'hneurons[docs]')")

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The documentation's sources, to build and to break."""
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


def build_site(copy: Path, strict: bool = True) -> None:
    with (copy / "mkdocs.yml").open("rb") as file:
        build(load_config(file, strict=strict, site_dir=str(copy / "site")))


def test_the_site_builds_without_a_warning(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    build_site(copy)
    assert (copy / "site/questions/index.html").exists()


@pytest.mark.parametrize(
    ("page", "text", "message"),
    [
        ("extra.md", "# A page in no navigation", "extra.md"),
        ("index.md", "[a page that is not there](nowhere.md)", "nowhere.md"),
        ("index.md", "[a place that is not there](questions.md#nowhere)", "#nowhere"),
    ],
)
def test_a_broken_site_is_refused(
    page: str, text: str, message: str, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (copy / "docs" / page).write_text(text + "\n")
    with pytest.raises(Abort):
        build_site(copy)
    assert message in caplog.text


def test_no_page_loads_anything_from_elsewhere(copy: Path) -> None:
    """Fonts and scripts are the site's own; links that a reader may follow are another thing."""
    build_site(copy, strict=False)
    for page in (copy / "site").glob("**/*.html"):
        text = page.read_text()
        assert 'src="http' not in text
        assert 'rel="stylesheet" href="http' not in text
