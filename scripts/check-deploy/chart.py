"""What must hold of every rendered chart, whatever the values.
  chart.py rendered.yaml ...
"""

import ipaddress
import sys

import yaml

PRIVATE = ["10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "127.0.0.1", "100.64.0.1", "fd00::1", "::1"]
WORKLOADS = {"Deployment", "StatefulSet", "Job", "Pod"}
problems = []


def pod_of(resource):
    if resource["kind"] == "Pod":
        return resource["spec"], resource["metadata"]["labels"]
    template = resource["spec"]["template"]
    return template["spec"], template["metadata"]["labels"]


def component(labels):
    return labels.get("app.kubernetes.io/component")


def restricted(where, spec):
    """The Pod Security standard `restricted`, and a root that cannot be written."""
    pod = spec.get("securityContext", {})
    if not pod.get("runAsNonRoot") or pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        problems.append(f"{where}: the pod is not restricted")
    if any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        problems.append(f"{where}: uses a namespace of its host")
    allowed = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim", "downwardAPI", "name"}
    for volume in spec.get("volumes", []):
        if set(volume) - allowed:
            problems.append(f"{where}: volume {volume['name']}")
    if spec.get("automountServiceAccountToken") is not False:
        problems.append(f"{where}: is given a token of Kubernetes")
    for container in spec["containers"]:
        given = container.get("securityContext", {})
        if (
            given.get("allowPrivilegeEscalation") is not False
            or given.get("capabilities", {}).get("drop") != ["ALL"]
            or not given.get("readOnlyRootFilesystem")
        ):
            problems.append(f"{where}: container {container['name']} is not restricted")
        if "memory" not in container.get("resources", {}).get("limits", {}):
            problems.append(f"{where}: container {container['name']} has no limit of memory")


def secrets_of(spec):
    """The names of the variables that a pod gets from secrets."""
    names = set()
    for volume in spec.get("volumes", []):
        for source in volume.get("projected", {}).get("sources", []):
            names |= {item["path"] for item in source.get("secret", {}).get("items", [])}
    for container in spec["containers"]:
        for variable in container.get("env", []):
            if "secretKeyRef" in variable.get("valueFrom", {}):
                names.add(variable["name"])
    return names


def reaches(policy, address):
    address = ipaddress.ip_address(address)
    for rule in policy["spec"].get("egress", []):
        for peer in rule.get("to", []):
            block = peer.get("ipBlock")
            if not block or ipaddress.ip_network(block["cidr"]).version != address.version:
                continue
            inside = address in ipaddress.ip_network(block["cidr"])
            if inside and not any(address in ipaddress.ip_network(out) for out in block.get("except", [])):
                return True
    return False


def workload(where, resource, config):
    spec, labels = pod_of(resource)
    restricted(where, spec)
    who, secrets = component(labels), secrets_of(spec)
    if who != "worker" and secrets & {"NOVITA_API_KEY", "MARKER_SECRET", "WEBHOOK_SECRET"}:
        problems.append(f"{where}: gets secrets of the worker")
    if who == "worker" and "NOVITA_API_KEY" not in secrets:
        problems.append(f"{where}: has no key of the provider")
    if who not in ("api", "worker"):
        return
    given = config[who]
    drain = (int(given["SHUTDOWN_DELAY_MS"]) + int(given["SHUTDOWN_TIMEOUT_MS"])) / 1000 + 3
    if spec["terminationGracePeriodSeconds"] <= drain:
        problems.append(f"{where}: is killed before it has drained")
    container = spec["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    if str(ports["admin"]) != given["METRICS_PORT"]:
        problems.append(f"{where}: probes another port than the process serves")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if container[probe]["httpGet"]["port"] != "admin":
            problems.append(f"{where}: {probe}")


def check(name):
    resources = [it for it in yaml.safe_load_all(open(name)) if it]
    config = {
        component(it["metadata"]["labels"]): it["data"]
        for it in resources
        if it["kind"] == "ConfigMap" and component(it["metadata"]["labels"])
    }
    for resource in resources:
        where = f"{name}: {resource['kind']} {resource['metadata']['name']}"
        if resource["kind"] in WORKLOADS:
            workload(where, resource, config)
        if resource["kind"] == "NetworkPolicy" and component(resource["metadata"]["labels"]) == "worker":
            problems.extend(f"{where}: lets a worker reach {it}" for it in PRIVATE if reaches(resource, it))
            if not reaches(resource, "203.0.113.7"):
                problems.append(f"{where}: lets a worker reach nobody")
        if resource["kind"] == "HorizontalPodAutoscaler" or resource["kind"] == "ScaledObject":
            target = resource["spec"]["scaleTargetRef"]["name"]
            scaled = [it for it in resources if it["kind"] == "Deployment" and it["metadata"]["name"] == target]
            if len(scaled) != 1 or "replicas" in scaled[0]["spec"]:
                problems.append(f"{where}: an upgrade would undo its scaling")
    kinds = [it["kind"] for it in resources]
    if kinds.count("Deployment") != 2:
        problems.append(f"{name}: two Deployments are expected")


for name in sys.argv[1:]:
    check(name)
for problem in problems:
    print(problem)
print(f"{len(sys.argv) - 1} renderings, {len(problems)} problems")
sys.exit(1 if problems else 0)
