"""The parts of documentation pages that programs write, each between <!-- NAME --> and <!-- /NAME -->."""
import re


def with_part(page, name, text):
    """The page with this text between the marks of the name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    marked = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not marked.search(page):
        raise ValueError(f"the page has no {begin.rstrip()} ... {end}")
    return marked.sub(lambda _: begin + text + end, page)
