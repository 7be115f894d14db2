"""The alerts and the dashboard: they parse, the rules do what their tests say, every metric that they
use is one of docs/metrics.md, and every alert has a test that fires it and a place in operations.md.

    python tests/deploy/monitoring_test.py    needs promtool, and PyYAML of tests/requirements.txt
"""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
# What Prometheus makes itself.
OF_PROMETHEUS = {"up", "ALERTS"}
KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset"}
# Grafana's variables, as it would fill them in.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*"}


def promtool(*arguments):
    ran = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True,
                         timeout=60)
    return ran.returncode, ran.stdout + ran.stderr


def rules():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"]
            if panel["type"] != "row"]


def dashboard_expressions():
    """Of panels and annotations, as Prometheus gets them."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    found += [note["expr"] for note in json.loads(DASHBOARD.read_text())["annotations"]["list"]]
    for name, value in VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def metrics_of(expression):
    """The names of the metrics in a PromQL expression."""
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", text)
    names = re.findall(r"(?<![\w.])[A-Za-z_:][\w:]*(?!\w*\s*\()", text)
    return {name for name in names if name not in KEYWORDS}


def documented():
    """The names of all series of docs/metrics.md."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    names = set()
    for name, kind in re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE):
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        names |= {name + suffix for suffix in suffixes}
    assert len(names) > 40
    return names


class Monitoring(unittest.TestCase):
    maxDiff = None

    def assert_promtool(self, *arguments):
        status, said = promtool(*arguments)
        self.assertEqual(status, 0, said)

    def test_prometheus_takes_configuration_and_rules(self):
        self.assert_promtool("check", "config", RULES.with_name("prometheus.yml"))
        self.assert_promtool("check", "rules", "--lint-fatal", RULES)

    def test_rules_do_what_their_tests_say(self):
        self.assert_promtool("test", "rules", RULES.with_name("rules_test.yml"))

    def test_every_alert_is_made_to_fire(self):
        fired = {case["alertname"]
                 for test in yaml.safe_load(RULES.with_name("rules_test.yml").read_text())["tests"]
                 for case in test.get("alert_rule_test", ()) if case.get("exp_alerts")}
        self.assertEqual(fired, {rule["alert"] for rule in rules() if "alert" in rule})

    def test_every_alert_is_explained(self):
        page = (ROOT / "docs" / "operations.md").read_text()
        explained = set(re.findall(r"^\| `(Sparsed\w+)` \|", page, re.MULTILINE))
        self.assertEqual(explained, {rule["alert"] for rule in rules() if "alert" in rule})

    def test_metrics_are_documented_ones(self):
        recorded = {rule["record"] for rule in rules() if "record" in rule}
        known = documented() | recorded | OF_PROMETHEUS
        expressions = [rule["expr"] for rule in rules()] + dashboard_expressions()
        self.assertGreater(len(expressions), 60)
        for expression in expressions:
            used = metrics_of(expression)
            self.assertTrue(used, expression)
            self.assertLessEqual(used, known, expression)

    def test_names_are_found_in_an_expression(self):
        found = metrics_of('sum by (job, le) (rate(a_total{b="c(d)"}[5m])) / on (e) f:g > 1e3 * 2')
        self.assertEqual(found, {"a_total", "f:g"})

    def test_the_dashboard_parses(self):
        listed = [{"record": f"dashboard:{i}", "expr": expression}
                  for i, expression in enumerate(dashboard_expressions())]
        self.assertFalse([rule for rule in listed if "$" in rule["expr"]], "unknown variables")
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [{"name": "dashboard", "rules": listed}]}, file)
            file.flush()
            status, said = promtool("check", "rules", file.name)
        self.assertEqual(status, 0, said)
        self.assertIn(f"{len(listed)} rules found", said)

    def test_panels_do_not_overlap(self):
        taken, ids = {}, set()
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            self.assertNotIn(panel["id"], ids)
            ids.add(panel["id"])
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
            for cell in [(x, y) for x in range(at["x"], at["x"] + at["w"])
                         for y in range(at["y"], at["y"] + at["h"])]:
                self.assertNotIn(cell, taken, panel["title"])
                taken[cell] = panel["title"]

    def test_every_panel_says_what_it_shows(self):
        for panel in panels():
            self.assertTrue(panel["description"].endswith("."), panel["title"])


if __name__ == "__main__":
    unittest.main()
