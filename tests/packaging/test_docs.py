"""What scripts/docs makes of the sources, and scripts/card_table of the cards, is what stands in docs/."""
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_of_the_ops_is_up_to_date():
    page = runpy.run_path(str(ROOT / "scripts/docs"))["ops_page"]()
    assert (ROOT / "docs/ops.md").read_text() == page, "run scripts/docs"


def test_the_tables_of_cards_are_up_to_date():
    with_tables = runpy.run_path(str(ROOT / "scripts/card_table"))["with_tables"]
    for path in (ROOT / "docs").rglob("*.md"):
        page = path.read_text()
        assert page == with_tables(page), f"{path}: run scripts/card_table --write"
