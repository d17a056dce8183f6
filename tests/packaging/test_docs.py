"""docs/ops.md is what scripts/docs makes of the sources."""
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_of_the_ops_is_up_to_date():
    page = runpy.run_path(str(ROOT / "scripts/docs"))["ops_page"]()
    assert (ROOT / "docs/ops.md").read_text() == page, "run scripts/docs"
