"""What README.md shows is what the tests run, and what it links to is there."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```\n", (ROOT / "README.md").read_text(), re.DOTALL)


def without_opening_comment(source):
    """A source without the comment (C++) or the docstring (Python) that it opens with."""
    return re.sub(r'\A(//.*\n|""".*?"""\n)*\n*', "", source, flags=re.DOTALL if source.startswith('"') else 0)


@pytest.mark.parametrize("path, code", SHOWN, ids=[path for path, _ in SHOWN])
def test_a_shown_program_is_the_tested_file(path, code):
    assert code == without_opening_comment((ROOT / path).read_text())


def test_a_program_in_each_language_is_shown():
    assert {Path(path).suffix for path, _ in SHOWN} == {".cpp", ".py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
