"""Line charts as an SVG file, without a plotting library: panels side by side, one legend; axes are logarithmic."""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, GAP, LEGEND = 380, 300, 70, 40, 90, 26
COLORS = ["#0b6e4f", "#1f77b4", "#d95f02", "#7570b3", "#888888", "#e7298a", "#a6761d"]
DASHES = ["none", "6 4"]
MOST_TICKS = 8  # of the x axis; of more points the powers of ten are marked instead


@dataclass
class Panel:
    title: str
    unit: str
    lines: dict[tuple[str, str], list[tuple[float, float]]]  # (what, variant): points
    top: float | None = None  # values are on a linear axis from 0 to this


@dataclass
class Axis:
    """From numbers to places, logarithmic where it does not begin at 0."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value):
        share = math.log(value / self.low) / math.log(self.high / self.low) if self.low else value / self.high
        return self.start + share * (self.end - self.start)


def powers(low, high):
    """Those of ten around an interval."""
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def text(x, y, content, anchor="middle", size=12, rotate=None):
    turn = f' transform="rotate({rotate} {x:.0f} {y:.0f})"' if rotate else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}"{turn}>{escape(content)}</text>'


def stroke(points, color, dash="none", width=2):
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="{width}" stroke-dasharray="{dash}"/>'


def draw_panel(panel, left, x_title, style):
    points = [point for line in panel.lines.values() for point in line]
    sides, values = sorted({x for x, _ in points}), [y for _, y in points]
    heights = [panel.top * i / 5 for i in range(6)] if panel.top else powers(min(values), max(values))
    if len(sides) > MOST_TICKS:
        sides = powers(sides[0], sides[-1])
    x = Axis(sides[0] / 1.1, sides[-1] * 1.1, left, left + WIDTH)
    y = Axis(heights[0], heights[-1], TOP + HEIGHT, TOP)
    yield text(left + WIDTH / 2, TOP - 16, panel.title, size=15)
    yield text(left + WIDTH / 2, TOP + HEIGHT + 38, x_title)
    yield text(left - 52, TOP + HEIGHT / 2, panel.unit, rotate=-90)
    for height in heights:
        place = y(height)
        yield stroke([(left, place), (left + WIDTH, place)], "#dddddd", width=1)
        yield text(left - 8, place + 4, f"{height:g}", anchor="end")
    for side in sides:
        yield stroke([(x(side), TOP), (x(side), TOP + HEIGHT)], "#dddddd", width=1)
        yield text(x(side), TOP + HEIGHT + 18, f"{side:g}")
    for key, line in panel.lines.items():
        color, dash = style(key)
        places = [(x(a), y(b)) for a, b in line]
        yield stroke(places, color, dash)
        for a, b in places:
            yield f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{color}"/>'


def write_svg(path: Path, panels: list[Panel], x_title: str):
    keys = list(dict.fromkeys(key for panel in panels for key in panel.lines))
    names, variants = (list(dict.fromkeys(key[i] for key in keys)) for i in (0, 1))

    def style(key):
        return COLORS[names.index(key[0])], DASHES[variants.index(key[1])]

    parts = []
    for i, panel in enumerate(panels):
        parts += draw_panel(panel, LEFT + i * (WIDTH + GAP), x_title, style)
    total = LEFT + len(panels) * (WIDTH + GAP) - GAP + 20
    entries = [(name, COLORS[i], "none") for i, name in enumerate(names)]
    entries += [(variant, "#000000", DASHES[i]) for i, variant in enumerate(variants) if variant]
    step, row = (total - LEFT) / len(entries), TOP + HEIGHT + 38 + LEGEND
    for i, (name, color, dash) in enumerate(entries):
        start = LEFT + i * step
        parts += [stroke([(start, row), (start + 28, row)], color, dash), text(start + 34, row + 4, name, anchor="start")]
    box = f'viewBox="0 0 {total} {row + 16}" width="{total}" height="{row + 16}"'
    style_of_text = 'font-family="sans-serif" fill="#222222"'
    background = '<rect width="100%" height="100%" fill="#ffffff"/>'
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} {style_of_text}>\n{background}\n' + "\n".join(parts) + "\n</svg>\n"
    )
