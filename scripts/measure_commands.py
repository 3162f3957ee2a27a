#!/usr/bin/env python3
"""How many Redis commands Upstash would bill a day for instances at rest, and how many for one whole life.

Starts devstack with one API, two workers and the cadences of production, scrapes the processes every 15 s as a
Prometheus does, and counts `redis_billed_commands_total` of all of them. Ends with a line of JSON.
  measure_commands.py target/debug/devstack [--instances 0,10,100] [--seconds 300]
"""

import argparse
import json
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

arguments = argparse.ArgumentParser()
arguments.add_argument("devstack")
arguments.add_argument("--instances", default="0,10,100")
arguments.add_argument("--seconds", type=int, default=300)
given = arguments.parse_args()

# What devstack hurries for demonstrations is as in production here.
PRODUCTION = {
    "INSTANCE_POLL_FAST_MS": "2000",
    "HEALTH_CHECK_RETRY_DELAY_MS": "2000",
    "JOB_LEASE_MS": "60000",
    "REQUEST_TIMEOUT": "30000",
}
DAY = 24 * 3600


def ask(url, body=None, method=None):
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if data else {}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
        return answer.read().decode()


def billed(ports):
    """Commands by name, of all processes together."""
    sums = {}
    for url in ports["apiAdmin"] + ports["workerAdmin"]:
        for name, count in re.findall(r'^redis_billed_commands_total\{command="([^"]*)"\} (\d+)', ask(f"{url}/metrics"), re.M):
            sums[name] = sums.get(name, 0) + int(count)
    return sums


def memory(ports):
    """Resident MiB of each process."""
    found = {}
    for role in ("api", "worker"):
        for pid in ports["pids"][role]:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            found.setdefault(role, []).append(round(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024, 1))
    return found


def status(ports, id):
    return json.loads(ask(f"{ports['api'][0]}/api/instances/{id}"))["status"]


def wait(ports, ids, wanted):
    deadline = time.monotonic() + 300
    left = list(ids)
    while left:
        left = [id for id in left if status(ports, id) != wanted]
        assert time.monotonic() < deadline, f"{len(left)} are not {wanted}"
        time.sleep(1)


def create(ports, number):
    body = {
        "name": f"resting-{number}",
        "productName": "RTX 4090 24GB",
        "templateId": "100234",
        "webhookUrl": f"{ports['sink']}/hook",
    }
    return json.loads(ask(f"{ports['api'][0]}/api/instances", body))["instanceId"]


def rest(ports, instances):
    """Commands a day while nothing happens but looks and scrapes."""
    time.sleep(60)
    before, begun = sum(billed(ports).values()), time.monotonic()
    while time.monotonic() - begun < given.seconds:
        time.sleep(15)
        after = billed(ports)
    took = time.monotonic() - begun
    return {
        "instances": instances,
        "commands_a_day": round((sum(after.values()) - before) / took * DAY),
        "seconds": round(took),
        "memory_mib": memory(ports),
    }


def life(ports, number):
    """Commands from a create to the proof of the delete, one instance after the other; what rest costs included."""
    before, begun = sum(billed(ports).values()), time.monotonic()
    for count in range(number):
        id = create(ports, f"life-{count}")
        wait(ports, [id], "ready")
        ask(f"{ports['api'][0]}/api/instances/{id}", method="DELETE")
        wait(ports, [id], "terminated")
    return {"lives": number, "commands": sum(billed(ports).values()) - before, "seconds": round(time.monotonic() - begun)}


with tempfile.TemporaryDirectory(prefix="measure-") as name:
    folder = pathlib.Path(name)
    command = [given.devstack, "--workers", "2", "--ports-file", str(folder / "ports.json")]
    for variable, value in PRODUCTION.items():
        command += ["--env", f"{variable}={value}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not (folder / "ports.json").exists():
            assert process.poll() is None, "devstack ended"
            time.sleep(0.2)
        ports = json.loads((folder / "ports.json").read_text())
        figures = {"rest": [], "life": life(ports, 10)}
        there = []
        for instances in map(int, given.instances.split(",")):
            there += [create(ports, number) for number in range(len(there), instances)]
            wait(ports, there, "ready")
            figures["rest"].append(rest(ports, instances))
            print(figures["rest"][-1], flush=True)
        print(json.dumps(figures))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
