"""The rules: generated as committed, about series that exist, with a runbook each; and their known answers."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
import yaml

from bentos.recommender.metrics import BUCKETS_S
from bentos.router.observations import BUCKETS_MS
from components.registry.spec import Rollout, Tolerance
from monitoring.observability import prometheus_rules
from monitoring.observability.alerts import alerts, seconds
from monitoring.observability.objectives import BURNS, DAYS, DEFAULT, WINDOWS, promises
from monitoring.observability.recording_rules import recorded
from tests.monitoring.observability import promql, rule_answers
from tests.monitoring.observability.rule_answers import CASES, DRIFTS, OWN_BOUND, SILENCE

DOCS = Path(__file__).resolve().parents[3] / "docs" / "observability.md"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus")


def anchors(text: str) -> set[str]:
    """Return a page's anchors, as Markdown renderers make them of its headings."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_committed_rules_are_what_the_code_says():
    assert prometheus_rules.FILE.read_text() == prometheus_rules.text(), (
        "python -m monitoring.observability.prometheus_rules"
    )


@pytest.mark.parametrize("rule", [*recorded(), *alerts()], ids=lambda rule: getattr(rule, "record", "") or rule.name)
def test_a_rule_asks_about_series_and_labels_that_exist(rule):
    left = promql.labels(rule.expr)
    if hasattr(rule, "record"):
        assert left == {"namespace"}, "recorded by namespace, and by nothing else"
    else:
        shown = promql.mentioned(rule.summary + rule.description)
        assert shown <= left, f"{shown - left} would be empty"


def test_a_query_about_what_is_not_there_is_refused():
    for wrong, said in (
        ("rate(intentflow_request_total[5m])", "no series intentflow_request_total"),
        ('intentflow_in_flight{arm="stable"}', "no label arm"),
        ("sum by (release) (intentflow_in_flight)", "groups by"),
        ("histogram_quantile(0.9, sum by (endpoint) (rate(intentflow_request_seconds_bucket[5m])))", "without le"),
    ):
        with pytest.raises(AssertionError, match=said):
            promql.labels(wrong)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    text = DOCS.read_text()
    there = anchors(text)
    assert {alert.runbook for alert in alerts()} <= there
    named = set(re.findall(r"^#+ (IntentFlow\w+)$", text, flags=re.MULTILINE))
    assert named == {alert.name for alert in alerts()}


def test_every_alert_says_who_is_to_act_and_for_what():
    for alert in alerts():
        assert alert.severity in ("critical", "warning", "info")
        assert alert.summary
        assert alert.description.endswith((".", "?")), alert.name


def test_a_burn_spends_what_it_says_it_does():
    for burn in BURNS:
        spent = burn.rate * seconds(burn.long) / (DAYS * 86400)
        percent = round(100 * spent)
        assert burn.spent.startswith(f"{percent} %"), burn
        assert seconds(burn.short) * 12 == seconds(burn.long), "the workbook's short window is a twelfth"


@pytest.mark.parametrize("slow_ms", get_args(Rollout.model_fields["slow_ms"].annotation))
def test_every_bound_of_a_quick_answer_is_a_bucket_of_both_histograms(slow_ms):
    assert promises(Rollout(slow_ms=slow_ms)).slow_s in BUCKETS_S
    assert slow_ms in BUCKETS_MS


STRICT = Rollout(slow_ms=250, wait_s=120, tolerance=Tolerance(degraded=0.005))


def test_the_promises_of_a_spec_reach_its_rules():
    ours = promises(STRICT)
    slow = [rule.expr for rule in recorded(ours) if "_bucket" in rule.expr]
    assert len(slow) == len(WINDOWS)
    assert all('le="0.25"' in expr and 'le="0.5"' not in expr for expr in slow)
    found = {alert.name: alert for alert in alerts(ours)}
    assert "within 0.25 s" in found["IntentFlowLatencyBurn"].description
    assert found["IntentFlowDegraded"].expr == "intentflow:degraded:ratio_rate5m > 0.005"
    assert found["IntentFlowRolloutStuck"].expr.endswith(" > 240")


def test_the_same_rules_are_made_of_the_default_spec():
    assert prometheus_rules.groups(promises(Rollout())) == prometheus_rules.groups()


def test_rules_of_a_namespace_read_its_series_and_no_others():
    for group in prometheus_rules.groups(promises(STRICT, namespace="shop")):
        for rule in group["rules"]:
            assert promql.selected(rule["expr"], "namespace") == {"shop"}, rule["expr"]
            promql.labels(rule["expr"])


def test_a_query_is_kept_but_for_its_namespace():
    plain = [rule["expr"] for group in prometheus_rules.groups() for rule in group["rules"]]
    ours = [rule["expr"] for g in prometheus_rules.groups(promises(Rollout(), namespace="a")) for rule in g["rules"]]
    assert [re.sub(r'{namespace="a"}|namespace="a",', "", expr) for expr in ours] == plain


@pytest.fixture(params=[DEFAULT, promises(STRICT, namespace="shop")], ids=["the default spec", "a strict spec's"])
def checked(tmp_path, request) -> Path:
    """A folder with rules as Prometheus reads them."""
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": prometheus_rules.groups(request.param)}))
    return tmp_path


@pytest.fixture
def defaults(tmp_path) -> Path:
    """A folder with the rules of the default spec, which the known answers are those of."""
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": prometheus_rules.groups()}))
    return tmp_path


@needs_promtool
def test_prometheus_takes_the_rules(checked):
    done = subprocess.run([PROMTOOL, "check", "rules", checked / "rules.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"SUCCESS: {len(recorded()) + len(alerts())} rules found" in done.stdout


@pytest.mark.slow  # hours of series, minute by minute
@needs_promtool
def test_rules_give_known_answers(defaults):
    (defaults / "test.yml").write_text(yaml.safe_dump(CASES))
    done = subprocess.run([PROMTOOL, "test", "rules", defaults / "test.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("cases", ["FEEDS", "SILENT"])
def test_what_stays_away_and_what_a_check_finds_fires_and_nothing_else_does(tmp_path, cases):
    """Each alert of silence and each class: on a planted fault, and not on its look-alike."""
    asked = (*SILENCE, *DRIFTS, "IntentFlowDriftUntold", "IntentFlowRetrainingStopped")
    read = {name for alert in alerts() if alert.name in asked for name in promql.series(alert.expr)}
    groups = [group | {"rules": [r for r in group["rules"] if r.get("alert") in asked or r.get("record") in read]}
              for group in prometheus_rules.groups()]  # fmt: skip
    assert {rule.get("alert") for group in groups for rule in group["rules"]} >= set(asked)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    (tmp_path / "test.yml").write_text(yaml.safe_dump(getattr(rule_answers, cases)))
    done = subprocess.run([PROMTOOL, "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_a_strict_specs_rules_judge_its_namespace_by_its_own_bound(tmp_path):
    ours = promises(STRICT, namespace="shop")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": prometheus_rules.groups(ours)}))
    (tmp_path / "test.yml").write_text(yaml.safe_dump(OWN_BOUND))
    done = subprocess.run([PROMTOOL, "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
