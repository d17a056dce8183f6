"""scripts/plot draws what metrics.jsonl holds, also while a run is at it."""
import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from conftest import ROOT


def write_metrics(folder, steps=100, end=""):
    folder.mkdir()
    lines = [{"step": step, "tokens": 4096 * step, "loss": 5.0 / step} for step in range(1, steps + 1)]
    lines += [{"step": step, "held_out_bits_per_byte": 3.0 + 1 / step} for step in (steps // 2, steps)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + end)
    return folder


def plot(tmp_path, *arguments):
    command = [sys.executable, ROOT / "scripts/plot", *arguments, "--output", tmp_path / "curves.svg"]
    return subprocess.run(command, capture_output=True, text=True)


def drawn(tmp_path, *arguments):
    done = plot(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    return ElementTree.parse(tmp_path / "curves.svg").getroot()


def elements(svg, tag):
    return list(svg.iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


def texts(svg):
    return [element.text for element in elements(svg, "text")]


def test_a_run_is_called_like_its_folder(tmp_path):
    svg = drawn(tmp_path, write_metrics(tmp_path / "one"), write_metrics(tmp_path / "two"))
    assert {"one", "two", "training loss, nats", "held-out bits per byte"} <= set(texts(svg))


def test_each_evaluation_is_a_point(tmp_path):
    assert len(elements(drawn(tmp_path, write_metrics(tmp_path / "run")), "circle")) == 2


def test_every_logged_loss_is_in_the_faint_curve(tmp_path):
    faint = elements(drawn(tmp_path, write_metrics(tmp_path / "run", steps=50)), "g")
    assert [len(group[0].get("points").split()) for group in faint] == [50]


def test_a_torn_last_line_is_left_out(tmp_path):
    svg = drawn(tmp_path, write_metrics(tmp_path / "run", steps=50, end='{"step": 51, "lo'))
    assert len(elements(svg, "g")[0][0].get("points").split()) == 50


def test_steps_are_counted_in_tokens(tmp_path):
    run = write_metrics(tmp_path / "run")
    assert "tokens" in texts(drawn(tmp_path, run, "--x", "tokens")) and "400k" in texts(drawn(tmp_path, run, "--x", "tokens"))


def test_a_power_law_is_a_straight_line_on_logarithmic_axes(tmp_path):
    faint = elements(drawn(tmp_path, write_metrics(tmp_path / "run"), "--log"), "g")[0][0]
    places = [tuple(map(float, point.split(","))) for point in faint.get("points").split()]
    (x0, y0), (x1, y1) = places[0], places[-1]
    assert all(abs(y0 + (x - x0) * (y1 - y0) / (x1 - x0) - y) < 0.2 for x, y in places)


BROKEN = {
    "no such run": (None, r"metrics\.jsonl: No such file"),
    "an empty run": ("", "holds no metrics yet"),
    "a line that is none": ('{"step": 1, "loss": 2}\nnonsense\n', r"metrics\.jsonl:2: expected"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_refused_with_one_line(tmp_path, case):
    content, message = BROKEN[case]
    folder = tmp_path / "run"
    folder.mkdir()
    if content is not None:
        (folder / "metrics.jsonl").write_text(content)
    done = plot(tmp_path, folder)
    assert done.returncode == 1 and re.search(message, done.stderr) and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "curves.svg").exists()
