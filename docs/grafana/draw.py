#!/usr/bin/env python3
"""Draws a dashboard of Grafana as an SVG, without Grafana.

It reads the dashboard's own file (titles, places, units, thresholds, legends, expressions), asks Prometheus for each expression, which
evaluates it, and draws each panel in its place. An expression that gives no number is an error, and nothing is drawn: so the file is
checked against what a store really exports.

    docs/grafana/draw.py --prometheus http://127.0.0.1:9090 --minutes 4 --scrape-interval 1 --to docs/grafana/dashboard.svg
"""

import argparse
import json
import math
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from html import escape
from pathlib import Path

COLUMNS, WIDTH, GAP, ROW, LEGEND = 24, 1344, 8, 30, 16
POINTS = 120
COLOURS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#ffee52"]
NAMED = {"green": "#73bf69", "red": "#f2495c", "orange": "#ff9830", "yellow": "#f2cc0c", "blue": "#5794f2"}
UNITS = {"cps": ("", 1000, " c/s"), "short": ("", 1000, ""), "Bps": ("B", 1024, "/s"), "bytes": ("B", 1024, "")}


class Prometheus:
    def __init__(self, address):
        self.address = address.rstrip("/")

    def ask(self, path, **arguments):
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise ValueError(f"Prometheus refused it: {refused.read().decode()}") from refused


def filled_in(expression, variables):
    """With the variables of the dashboard in their places, the longest names first."""
    for name in sorted(variables, key=len, reverse=True):
        expression = expression.replace(f"${name}", variables[name])
    if "$" in expression:
        raise ValueError(f"there is no value for a variable of {expression}")
    return expression


def variables_of(dashboard, prometheus, seconds, scrape):
    """As Grafana has them: $__rate_interval is four scrapes at least, and of a list that takes all, its pattern for all."""
    step = max(seconds / POINTS, scrape)
    values = {"__rate_interval": f"{math.ceil(max(step + scrape, 4 * scrape))}s", "__interval": f"{math.ceil(step)}s"}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        metric, label = re.fullmatch(r"label_values\((\w+), *(\w+)\)", variable["definition"]).groups()
        if not prometheus.ask(f"label/{label}/values", **{"match[]": metric}):
            raise ValueError(f"the list {variable['name']} is empty: {variable['definition']}")
        values[variable["name"]] = variable["allValue"]
    return step, values


def legend(target, labels):
    words = target.get("legendFormat") or ", ".join(f"{name}={value}" for name, value in labels.items())
    return re.sub(r"{{ *(\w+) *}}", lambda found: labels.get(found[1], ""), words)


def series_of(panel, prometheus, span, variables):
    """A name and points for each line of the panel; and the expressions that gave nothing."""
    begin, end, step = span
    lines, empty = [], []
    for target in panel["targets"]:
        found = []
        expression = filled_in(target["expr"], variables)
        for one in prometheus.ask("query_range", query=expression, start=begin, end=end, step=step)["result"]:
            points = [(float(at), float(value)) for at, value in one["values"]]
            points = [point for point in points if math.isfinite(point[1])]
            if points:
                found.append((legend(target, one["metric"]), points))
        lines += sorted(found)
        empty += [] if found else [expression]
    return lines, empty


def shown(number, unit):
    if unit == "s":
        if number == 0:
            return "0 s"
        for scale, name in [(1, "s"), (1e3, "ms"), (1e6, "µs")]:
            if number * scale >= 1 or name == "µs":
                return f"{number * scale:.3g} {name}"
    base, step, after = UNITS[unit]
    prefixes = ["", "Ki", "Mi", "Gi", "Ti"] if step == 1024 else ["", "K", "Mil", "Bil", "Tri"]
    at = 0
    while abs(number) >= step and at + 1 < len(prefixes):
        number, at = number / step, at + 1
    word = f"{prefixes[at]}{base}"
    return f"{number:.3g}{' ' + word if word else ''}{after}"


def ceiling(largest, step):
    """A round end of the axis, which four parts divide."""
    if largest <= 0:
        return 1.0
    scale = step ** math.floor(math.log(largest, step)) if step == 1024 and largest >= 1024 else 10 ** math.floor(math.log10(largest))
    wanted = largest / scale
    for parts in [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10, 12, 16, 20, 40, 60, 80, 100, 120, 160, 200, 400, 800, 1024]:
        if wanted <= parts:
            return parts * scale
    return largest


def legends_in(left, right, names):
    """Where each stands, from the left and in which row; and how many rows there are."""
    places, at, row = [], left, 0
    for name in names:
        width = 34 + 6.4 * len(name)
        if at > left and at + width - 15 > right:
            at, row = left, row + 1
        places.append((at, row))
        at += width
    return places, row + 1


class Drawing:
    def __init__(self):
        self.parts = []

    def add(self, part):
        self.parts.append(part)

    def text(self, x, y, words, size=12, fill="#ccccdc", more=""):
        self.add(f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{fill}" {more}>{escape(words)}</text>')

    def box(self, x, y, width, height):
        self.add(f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="3" fill="#181b1f" stroke="#2b2f36"/>')

    def stat(self, place, panel, lines):
        x, y, width, height = place
        unit, steps = panel["fieldConfig"]["defaults"]["unit"], panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        value = lines[0][1][-1][1]
        colour = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
        self.text(x + width / 2, y + height * 0.72, shown(value, unit), 40, NAMED[colour], 'text-anchor="middle"')

    def lines(self, place, panel, lines, span):
        x, y, width, height = place
        left, right, top = x + 74, x + width - 12, y + 34
        legends, rows = legends_in(left, right, [name for name, _ in lines])
        bottom = y + height - 32 - LEGEND * rows
        begin, end, _ = span
        unit = panel["fieldConfig"]["defaults"]["unit"]
        most = ceiling(max(value for _, points in lines for _, value in points), 1024 if unit in ("bytes", "Bps") else 1000)
        for part in range(5):
            at = bottom - (bottom - top) * part / 4
            self.add(f'<path d="M{left:.0f} {at:.1f}H{right:.0f}" stroke="#2b2f36"/>')
            self.text(left - 6, at + 4, shown(most * part / 4, unit), 11, "#9fa7b3", 'text-anchor="end"')
        for part in range(4):
            at = left + (right - left) * (part + 0.5) / 4
            clock = time.strftime("%H:%M:%S", time.gmtime(begin + (end - begin) * (part + 0.5) / 4))
            self.text(at, bottom + 16, clock, 11, "#9fa7b3", 'text-anchor="middle"')
        for number, (name, points) in enumerate(lines):
            colour, (at, row) = COLOURS[number % len(COLOURS)], legends[number]
            below = bottom + 28 + LEGEND * row
            self.add(f'<path d="{path(points, span, (left, right, top, bottom), most)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            self.add(f'<rect x="{at:.0f}" y="{below:.0f}" width="14" height="4" rx="2" fill="{colour}"/>')
            self.text(at + 19, below + 6, name, 11)

    def svg(self, height, note):
        self.text(GAP, height - 8, note, 11, "#9fa7b3")
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="Inter,Helvetica,Arial,sans-serif">'
        return "\n".join([head, '<rect width="100%" height="100%" fill="#111217"/>', *self.parts, "</svg>\n"])


def path(points, span, frame, most):
    """A line, with a gap where there was no number. Steps are relative, and level ones that follow each other are one."""
    (begin, end, step), (left, right, top, bottom) = span, frame
    parts, before, level = [], None, 0
    for at, value in points:
        x = round((left + (right - left) * (at - begin) / (end - begin)) * 10)
        y = round((bottom - (bottom - top) * value / most) * 10)
        if before is None or at - before[0] > step * 1.5:
            parts.append(f"M{x / 10:g} {y / 10:g}h.1")
            level = 1
        elif y == before[2]:
            if level > 0:
                parts[-1] = f"{parts[-1].rpartition('h')[0]}h{(level + x - before[1]) / 10:g}"
            else:
                parts.append(f"h{(x - before[1]) / 10:g}")
            level += x - before[1]
        else:
            parts.append(f"l{(x - before[1] - (1 if level == 1 else 0)) / 10:g} {(y - before[2]) / 10:g}")
            level = 0
        before = (at, x, y)
    return "".join(parts)


def place_of(panel):
    grid, column = panel["gridPos"], (WIDTH - GAP) / COLUMNS
    return grid["x"] * column + GAP, grid["y"] * ROW + GAP, grid["w"] * column - GAP, grid["h"] * ROW - GAP


def draw(dashboard, prometheus, seconds, scrape):
    """The picture, and what is empty, as lines of text."""
    step, variables = variables_of(dashboard, prometheus, seconds, scrape)
    end = math.floor(time.time())
    span = (end - seconds, end, step)
    drawing, empty, height = Drawing(), [], 0
    for panel in dashboard["panels"]:
        place = x, y, width, panel_height = place_of(panel)
        height = max(height, y + panel_height)
        if panel["type"] == "row":
            drawing.text(x + 4, y + 17, f"⌄ {panel['title']}", 15)
            continue
        drawing.box(*place)
        drawing.text(x + 10, y + 20, panel["title"], 13, "#ccccdc", 'font-weight="600"')
        lines, nothing = series_of(panel, prometheus, span, variables)
        empty += [f"{panel['title']}: {expression}" for expression in nothing]
        if not lines:
            continue
        if panel["type"] == "stat":
            drawing.stat(place, panel, lines)
        elif panel["type"] == "timeseries":
            drawing.lines(place, panel, lines, span)
        else:
            raise ValueError(f"no way to draw a {panel['type']}")
    note = f"Drawn by draw.py from annals.json and {seconds:.0f} s of a Prometheus that scraped examples/metrics at work. Times are UTC."
    return drawing.svg(height + 30, note), empty


def main(arguments=None):
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--dashboard", type=Path, default=here / "annals.json")
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--scrape-interval", type=float, default=1, help="seconds, as Prometheus has it")
    parser.add_argument("--to", type=Path, default=here / "dashboard.svg")
    options = parser.parse_args(arguments)
    dashboard = json.loads(options.dashboard.read_text())
    picture, empty = draw(dashboard, Prometheus(options.prometheus), options.minutes * 60, options.scrape_interval)
    if empty:
        sys.exit("no data:\n  " + "\n  ".join(empty))
    options.to.write_text(picture)
    print(f"{options.to}: {len(picture.encode())} bytes")


if __name__ == "__main__":
    main()
