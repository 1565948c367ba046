#!/usr/bin/env python3
"""Tests of draw.py, with a Prometheus that is none: python3 docs/grafana/test_draw.py"""

import json
import sys
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

sys.dont_write_bytecode = True
import draw

DASHBOARD = json.loads((Path(__file__).parent / "annals.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


class Answers(BaseHTTPRequestHandler):
    """Three numbers for each expression; for `spoilt`, what `instead` says."""

    spoilt, instead, asked = None, None, []

    def do_GET(self):
        address = urlparse(self.path)
        if "/label/" in address.path:
            return self.send({"status": "success", "data": ["annals"]})
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        self.asked.append(query["query"])
        begin, step = float(query["start"]), float(query["step"])
        values = [[begin + step * number, str(number)] for number in range(3)]
        result = [{"metric": {"messaging_destination_name": "orders"}, "values": values}]
        if self.spoilt and self.spoilt in query["query"]:
            if self.instead == "error":
                return self.send({"status": "error", "error": "parse error"}, 400)
            result = [] if self.instead == "nothing" else [{"metric": {}, "values": [[begin, "NaN"], [begin + step, "+Inf"]]}]
        self.send({"status": "success", "data": {"resultType": "matrix", "result": result}})

    def send(self, what, status=200):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Draws(unittest.TestCase):
    def setUp(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.dir = tempfile.TemporaryDirectory()
        self.to = Path(self.dir.name) / "picture.svg"
        Answers.spoilt, Answers.instead, Answers.asked = None, None, []

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        self.dir.cleanup()

    def draw(self):
        draw.main(["--prometheus", f"http://127.0.0.1:{self.server.server_port}", "--to", str(self.to)])

    def test_every_panel_is_drawn_and_every_expression_asked_for(self):
        self.draw()
        picture = self.to.read_text()
        for panel in DASHBOARD["panels"]:
            self.assertIn(panel["title"], picture)
        self.assertIn(">orders<", picture)
        self.assertEqual(len(Answers.asked), len(EXPRESSIONS))
        self.assertFalse([asked for asked in Answers.asked if "$" in asked])
        self.assertTrue(any('{job=~".*"}[4s]' in asked for asked in Answers.asked))

    def test_an_empty_panel_ends_it_by_name_and_draws_nothing(self):
        Answers.spoilt = "annals_compaction_duration_bucket"
        for Answers.instead in ["nothing", "NaN"]:
            with self.assertRaises(SystemExit) as ended:
                self.draw()
            self.assertIn("Compactions: histogram_quantile(0.99", str(ended.exception.code))
            self.assertEqual(str(ended.exception.code).count("\n"), 1)
            self.assertFalse(self.to.exists())

    def test_what_prometheus_cannot_read_ends_it(self):
        Answers.spoilt, Answers.instead = "annals_rolls", "error"
        with self.assertRaisesRegex(ValueError, "parse error"):
            self.draw()

    def test_numbers_have_their_units(self):
        cases = [(0, "s", "0 s"), (2e-6, "s", "2 µs"), (0.0025, "s", "2.5 ms"), (3, "s", "3 s"), (1536, "bytes", "1.5 KiB")]
        cases += [(2 << 20, "Bps", "2 MiB/s"), (12_000, "cps", "12 K c/s"), (7, "short", "7")]
        for number, unit, words in cases:
            self.assertEqual(draw.shown(number, unit), words)


if __name__ == "__main__":
    unittest.main()
