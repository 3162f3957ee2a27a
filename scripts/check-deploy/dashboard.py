"""A Grafana dashboard: known fields, no overlap, defined variables, queries that parse, and, where a
Prometheus is named, that each of them returns rows there.
  dashboard.py dashboard.json [http://prometheus]
"""

import json
import re
import sys
import urllib.parse
import urllib.request

import promql_parser
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

INTERVALS = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}

path, prometheus = sys.argv[1], (sys.argv[2:] or [None])[0]
given = json.load(open(path))
plugins.register_default_plugins()
kept = json.loads(JSONEncoder().encode(model.Dashboard.from_json(given)))
problems = []


def unknown(kept, given, at=""):
    if isinstance(given, dict):
        for key, value in given.items():
            if isinstance(kept, dict) and key in kept:
                unknown(kept[key], value, f"{at}.{key}")
            else:
                problems.append(f"unknown field {at}.{key}")
    elif isinstance(given, list):
        for i, (k, g) in enumerate(zip(kept or [], given)):
            unknown(k, g, f"{at}[{i}]")


def panels(of):
    for panel in of:
        yield panel
        yield from panels(panel.get("panels", []))


def overlap(a, b):
    return (
        a["x"] < b["x"] + b["w"]
        and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"]
        and b["y"] < a["y"] + a["h"]
    )


unknown(kept, given)
every = list(panels(given["panels"]))
if len({panel["id"] for panel in every}) != len(every):
    problems.append("two panels have one id")
for i, one in enumerate(every):
    for other in every[:i]:
        if overlap(one["gridPos"], other["gridPos"]):
            problems.append(f"{one['title']} overlaps {other['title']}")

variables = {variable["name"] for variable in given["templating"]["list"]}
queries = 0
for panel in every:
    for target in panel.get("targets", []):
        query = target["expr"]
        for name, value in INTERVALS.items():
            query = query.replace(name, value)
        for name in re.findall(r"\$\{?(\w+)", query):
            if name not in variables:
                problems.append(f"{panel['title']}: ${name} is not defined")
        query = re.sub(r"\$\{?\w+(:\w+)?\}?", ".*", query)
        queries += 1
        try:
            promql_parser.parse(query)
        except Exception as error:  # the parser's own type is not exported
            problems.append(f"{panel['title']}: {error}")
            continue
        if prometheus:
            url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
            if not json.load(urllib.request.urlopen(url))["data"]["result"]:
                problems.append(f"{panel['title']}: no rows for {query}")

for problem in problems:
    print(problem)
print(f"{queries} queries, {len(problems)} problems")
sys.exit(1 if problems or not queries else 0)
