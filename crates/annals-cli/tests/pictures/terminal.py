#!/usr/bin/env python3
"""Turns what `tmux capture-pane -e -p` prints into an SVG: each character in its cell, with its colours, bold, dim and reverse.

    tmux capture-pane -e -p -t top | terminal.py --columns 100 > top.svg
"""

import argparse
import re
import sys
import unicodedata
from html import escape

CELL, LINE, SIZE, EDGE = 8.4, 18, 14, 14
GROUND, INK = "#16181d", "#d8dee9"
PALETTE = ["#3b4252", "#bf616a", "#a3be8c", "#ebcb8b", "#81a1c1", "#b48ead", "#88c0d0", "#e5e9f0"]
BRIGHT = ["#616e88", "#d08770", "#b5d19c", "#f0d9a0", "#8fb4dd", "#c9a0c0", "#9ad6d0", "#ffffff"]


def indexed(number):
    """One of the 256 colours."""
    if number < 16:
        return (PALETTE + BRIGHT)[number]
    if number > 231:
        return "#" + f"{8 + 10 * (number - 232):02x}" * 3
    steps = [0, 95, 135, 175, 215, 255]
    number -= 16
    return "#{:02x}{:02x}{:02x}".format(*(steps[part] for part in (number // 36, number // 6 % 6, number % 6)))


class Style:
    def __init__(self):
        self.ink, self.ground, self.bold, self.dim, self.reverse = None, None, False, False, False

    def take(self, codes):
        codes = [int(code or 0) for code in re.split("[;:]", codes)]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()
            elif code in (1, 2, 7):
                setattr(self, {1: "bold", 2: "dim", 7: "reverse"}[code], True)
            elif code == 22:
                self.bold = self.dim = False
            elif code == 27:
                self.reverse = False
            elif code in (38, 48):
                kind, name = codes.pop(0), "ink" if code == 38 else "ground"
                colour = indexed(codes.pop(0)) if kind == 5 else "#{:02x}{:02x}{:02x}".format(*(codes.pop(0) for _ in range(3)))
                setattr(self, name, colour)
            elif code in (39, 49):
                setattr(self, "ink" if code == 39 else "ground", None)
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.ink = (PALETTE if code < 90 else BRIGHT)[code % 10]
            elif 40 <= code <= 47 or 100 <= code <= 107:
                self.ground = (PALETTE if code < 100 else BRIGHT)[code % 10]

    def colours(self):
        ink, ground = self.ink or INK, self.ground or GROUND
        return (ground, ink) if self.reverse else (ink, ground)


def runs(line, style):
    """What stands in one style, with its column."""
    column = 0
    for part in re.split(r"(\x1b\[[0-9;:]*m)", line):
        if part.startswith("\x1b"):
            style.take(part[2:-1])
        elif part:
            yield column, part
            column += sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in part)


def picture(text, columns):
    lines, style, parts = text.rstrip("\n").split("\n"), Style(), []
    for row, line in enumerate(lines):
        for column, words in runs(line, style):
            ink, ground = style.colours()
            x, y = EDGE + column * CELL, EDGE + row * LINE
            if ground != GROUND:
                parts.append(f'<rect x="{x:.1f}" y="{y}" width="{len(words) * CELL:.1f}" height="{LINE}" fill="{ground}"/>')
            more = (' font-weight="bold"' if style.bold else "") + (' opacity=".6"' if style.dim else "")
            # Each word in its place: a font that is none of the wanted ones keeps the columns.
            for word in re.finditer(r"\S+(?: \S+)*", words):
                at, length = x + word.start() * CELL, len(word[0]) * CELL
                parts.append(f'<text x="{at:.1f}" y="{y + SIZE}" fill="{ink}" textLength="{length:.1f}"{more}>{escape(word[0])}</text>')
    width, height = columns * CELL + 2 * EDGE, len(lines) * LINE + 2 * EDGE
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" '
    head += f'font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="{SIZE}">'
    return "\n".join([head, f'<rect width="100%" height="100%" rx="6" fill="{GROUND}"/>', *parts, "</svg>\n"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=100)
    sys.stdout.write(picture(sys.stdin.read(), parser.parse_args().columns))
