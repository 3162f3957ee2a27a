"""Custom resources of rendered charts against the schemas of KEDA and prometheus-operator.

Types and required fields come from the models; a field that a model does not keep is unknown to it.
  custom_resources.py rendered.yaml ...
"""

import importlib
import sys

import yaml
from pydantic import ValidationError

MODELS = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}


def unknown(kept, given, path=""):
    """Paths of the fields of `given` that `kept` lacks."""
    if isinstance(given, dict):
        return [
            found
            for key, value in given.items()
            for found in (
                unknown(kept[key], value, f"{path}.{key}")
                if isinstance(kept, dict) and key in kept
                else [f"{path}.{key}"]
            )
        ]
    if isinstance(given, list):
        pairs = zip(kept or [], given)
        return [found for i, (k, g) in enumerate(pairs) for found in unknown(k, g, f"{path}[{i}]")]
    return []


def problems(resource):
    model = getattr(importlib.import_module(MODELS[resource["apiVersion"]]), resource["kind"])
    try:
        kept = model.model_validate(resource)
    except ValidationError as error:
        return [str(error)]
    return unknown(kept.model_dump(mode="json", by_alias=True, exclude_unset=True), resource)


seen = failed = 0
for name in sys.argv[1:]:
    for resource in yaml.safe_load_all(open(name)):
        if not resource or resource.get("apiVersion") not in MODELS:
            continue
        seen += 1
        for problem in problems(resource):
            failed += 1
            print(f"{name}: {resource['kind']} {resource['metadata']['name']}: {problem}")
print(f"{seen} custom resources, {failed} problems")
sys.exit(1 if failed or not seen else 0)
