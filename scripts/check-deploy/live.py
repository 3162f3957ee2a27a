"""Metrics, rules, dashboard and autoscaling queries against a real Prometheus that scrapes real processes.

Starts devstack (two workers, a budget) and Prometheus on loopback, lets instances live and die, and
stops both again.
  live.py devstack rendered-with-keda.yaml
"""

import contextlib
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

root = pathlib.Path(__file__).resolve().parents[2]
devstack, rendered = sys.argv[1:]
# The labels that a ServiceMonitor of the chart gives.
LABELS = {"namespace": "gpu", "release": "rel"}
INSTANCES = 6
PATIENCE = 90
problems = []


def ask(url, body=None, method=None):
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def eventually(what, look):
    deadline = time.monotonic() + PATIENCE
    seen = None
    while time.monotonic() < deadline:
        try:
            is_so, seen = look()
            if is_so:
                return seen
        except (OSError, urllib.error.URLError, KeyError, ValueError) as error:
            seen = error
        time.sleep(0.2)
    sys.exit(f"{what} did not come about within {PATIENCE} s; last seen: {seen}")


@contextlib.contextmanager
def running(command, log):
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def prometheus_config(folder, ports):
    def job(name, urls):
        targets = [url.removeprefix("http://") for url in urls]
        labels = {**LABELS, "component": name}
        return {"job_name": name, "static_configs": [{"targets": targets, "labels": labels}]}

    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(root / "helm/novita-gpu/files/rules/*.yml")],
        "scrape_configs": [job("api", ports["apiAdmin"]), job("worker", ports["workerAdmin"])],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def live(ports, until):
    """Lets instances come up and go away; every other one is deleted, and `until` is told when."""
    api = ports["api"][0]
    ids = []
    for number in range(INSTANCES):
        body = {
            "name": f"live-{number}",
            "productName": "RTX 4090 24GB",
            "templateId": "100234",
            "maxPricePerHour": 5,
            "webhookUrl": f"{ports['sink']}/hook",
        }
        ids.append(json.loads(ask(f"{api}/api/instances", body))["instanceId"])

    def all_are(wanted):
        seen = {it: json.loads(ask(f"{api}/api/instances/{it}"))["status"] for it in ids}
        return all(seen[it] in wanted for it in ids), seen

    eventually("every instance ready", lambda: all_are({"ready"}))
    for gone in ids[::2]:
        ask(f"{api}/api/instances/{gone}", method="DELETE")
    eventually("half of them terminated", lambda: all_are({"ready", "terminated"}))
    until(len(ids) - len(ids[::2]))


def query(prometheus, text):
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
    return json.loads(ask(url))["data"]["result"]


def lint_metrics(ports):
    for name, url in [("api", ports["apiAdmin"][0]), ("worker", ports["workerAdmin"][0])]:
        text = ask(f"{url}/metrics")
        linted = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
        print(f"promtool check metrics, {name}: {len(re.findall('^# TYPE', text, re.M))} metrics, exit code {linted.returncode}")
        if linted.returncode:
            problems.append(f"promtool check metrics, {name}: {linted.stdout}{linted.stderr}")


def check_scaling(prometheus):
    scaled = [it for it in yaml.safe_load_all(open(rendered)) if it and it["kind"] == "ScaledObject"]
    triggers = [trigger for it in scaled for trigger in it["spec"]["triggers"]]
    for trigger in triggers:
        rows = query(prometheus, trigger["metadata"]["query"])
        print(f"the query of KEDA: {len(rows)} row")
        # KEDA takes one number; without any it would scale by its fallback for ever.
        if len(rows) != 1:
            problems.append(f"KEDA needs one row: {rows}")
    if not triggers:
        problems.append(f"no ScaledObject in {rendered}")


def check_rules(prometheus):
    groups = json.loads(ask(f"{prometheus}/api/v1/rules"))["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    problems.extend(f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok")
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    problems.extend(f"{name}: no rows" for name in recorded if not query(prometheus, name))
    firing = [rule["name"] for rule in rules if rule.get("state") == "firing"]
    problems.extend(f"{name} fires although all is well" for name in firing)
    print(f"{len(rules)} rules evaluated, {len(recorded)} of them recorded, {len(firing)} firing")


def settled(prometheus, instances):
    """Prometheus has seen what came to pass."""

    def look():
        rows = query(prometheus, 'max(fleet_instances{kind="ours"})')
        return bool(rows) and float(rows[0]["value"][1]) == instances, rows

    eventually("the fleet in Prometheus", look)
    # A rate needs two scrapes within its window, and the rules one evaluation after that.
    eventually(
        "rates in Prometheus",
        lambda: (bool(query(prometheus, "novita:http_request_duration_seconds:p99_rate5m")), None),
    )


with tempfile.TemporaryDirectory(prefix="check-deploy-") as name, contextlib.ExitStack() as stack:
    folder = pathlib.Path(name)
    file = folder / "ports.json"
    started = [devstack, "--ports-file", str(file), "--workers", "2", "--env", "MAX_HOURLY_COST=100"]
    # Each pass over the fleet tells how many there are; the default would make this wait for half a minute.
    started += ["--env", "INSTANCE_POLL_INTERVAL=10"]
    stack.enter_context(running(started, folder / "devstack.log"))
    eventually("devstack up", lambda: (file.exists(), (folder / "devstack.log").read_text()[-500:]))
    ports = json.loads(file.read_text())
    port = free_port()
    prometheus = f"http://127.0.0.1:{port}"
    command = [
        "prometheus",
        f"--config.file={prometheus_config(folder, ports)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    stack.enter_context(running(command, folder / "prometheus.log"))
    eventually("every target up", lambda: (len(query(prometheus, "up == 1")) == 3, query(prometheus, "up")))
    live(ports, lambda instances: settled(prometheus, instances))
    lint_metrics(ports)
    check_rules(prometheus)
    check_scaling(prometheus)
    board = root / "helm/novita-gpu/files/dashboards/novita-gpu.json"
    checked = subprocess.run([sys.executable, root / "scripts/check-deploy/dashboard.py", board, prometheus])
    if checked.returncode:
        problems.append("the dashboard")

for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
