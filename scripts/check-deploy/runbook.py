"""Each alert has a section in the runbook and a test, and links in the documents lead somewhere."""

import pathlib
import re
import sys

import yaml

# Written by the benchmarks, which need a quiet machine.
MEASURED = {"docs/benchmarks.md"}

root = pathlib.Path(__file__).resolve().parents[2]
rules = yaml.safe_load((root / "helm/novita-gpu/files/rules/alerts.yml").read_text())
alerts = [rule for group in rules["groups"] for rule in group["rules"]]
tests = yaml.safe_load((root / "monitoring/tests/alerts_test.yml").read_text())["tests"]
runbook = (root / "docs/operations.md").read_text()
problems = []


def anchors(text):
    heads = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", text, flags=re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def tried(name, fires):
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    return any(case["alertname"] == name and bool(case["exp_alerts"]) == fires for case in cases)


for alert in alerts:
    name = alert["alert"]
    if alert["annotations"]["runbook_url"] != f"docs/operations.md#{name.lower()}":
        problems.append(f"{name}: runbook_url")
    if name.lower() not in anchors(runbook):
        problems.append(f"{name}: no section in docs/operations.md")
    if not tried(name, True) or not tried(name, False):
        problems.append(f"{name}: needs a test in which it fires and one in which it does not")
for head in re.findall(r"^### (Novita\w+)$", runbook, flags=re.M):
    if head not in {alert["alert"] for alert in alerts}:
        problems.append(f"docs/operations.md: there is no alert {head}")

pages = [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("helm/**/*.md")]
for page in pages:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        at = (page.parent / file).resolve() if file else page
        if str(at.relative_to(root)) in MEASURED:
            continue
        if not at.exists():
            problems.append(f"{page.relative_to(root)}: {target} does not exist")
        elif anchor and at.suffix == ".md" and anchor not in anchors(at.read_text()):
            problems.append(f"{page.relative_to(root)}: {target} has no such heading")

for problem in problems:
    print(problem)
print(f"{len(alerts)} alerts, {len(pages)} documents, {len(problems)} problems")
sys.exit(1 if problems else 0)
