#!/usr/bin/env python3
"""What is linked into the three binaries, as CycloneDX 1.5 on standard output.

From `cargo metadata` and Cargo.lock alone: dependencies for tests and builds are not among it, and the same sources
give the same text.
"""

import json
import subprocess
import sys
import tomllib

BINARIES = ["api", "worker", "migrations"]
TARGET = "x86_64-unknown-linux-gnu"

command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]
metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
with open("Cargo.lock", "rb") as lock:
    checksums = {
        (package["name"], package["version"]): package.get("checksum")
        for package in tomllib.load(lock)["package"]
    }


def linked(node):
    """What a package links: its ordinary dependencies, without those of build scripts and macros' own."""
    for dependency in node["deps"]:
        if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
            yield dependency["pkg"]


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package):
    described = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        # The older way to say OR.
        described["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums[(package["name"], package["version"])]:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return described


roots = [id for id, package in packages.items() if package["name"] in BINARIES and package["source"] is None]
assert len(roots) == len(BINARIES)
found, waiting = set(), list(roots)
while waiting:
    id = waiting.pop()
    if id not in found:
        found.add(id)
        waiting.extend(linked(nodes[id]))

ordered = sorted(found, key=lambda id: (packages[id]["name"], packages[id]["version"]))
bom = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {
        "component": {
            "type": "application",
            "bom-ref": "novita-gpu",
            "name": "novita-gpu",
            "version": packages[roots[0]]["version"],
        }
    },
    "components": [component(packages[id]) for id in ordered],
    "dependencies": [
        {
            "ref": "novita-gpu",
            "dependsOn": sorted(reference(packages[id]) for id in roots),
        },
        *(
            {
                "ref": reference(packages[id]),
                "dependsOn": sorted({reference(packages[it]) for it in linked(nodes[id])}),
            }
            for id in ordered
        ),
    ],
}
json.dump(bom, sys.stdout, indent=1)
print()
