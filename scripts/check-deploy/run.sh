#!/usr/bin/env bash
# `make check-deploy`: every file that ships, checked by the tool that will read it. A tool that cannot be had
# is told; with STRICT=1 that is a failure, too.
set -uo pipefail
cd "$(dirname "$0")/../.."
here=scripts/check-deploy
tools=${DEPLOY_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/novita-gpu-deploy-tools}
devstack=${CARGO_TARGET_DIR:-target}/debug/devstack
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HELM_CACHE_HOME=$work/helm/cache HELM_CONFIG_HOME=$work/helm/config HELM_DATA_HOME=$work/helm/data

failed=0 missing=0
"$here/tools.sh" "$tools"
python=$tools/python/bin/python
bin=$tools/python/bin

# check NAME COMMAND...: runs it, and shows what it said when it failed or has something to tell.
check() {
  local name=$1 begun=$SECONDS
  shift
  if "$@" >"$work/said" 2>&1; then
    printf 'ok       %s (%ss)%s\n' "$name" $((SECONDS - begun)) "$(tail -1 "$work/said" | sed 's/^\(.\{1,90\}\).*/: \1/')"
  else
    printf 'FAILED   %s\n' "$name"
    sed 's/^/         /' "$work/said"
    failed=$((failed + 1))
  fi
}

cannot() { printf 'NOT RUN  %s: %s\n' "$1" "$2"; missing=$((missing + 1)); }

has() { command -v "$1" >/dev/null; }

compose() {
  if docker compose version >/dev/null 2>&1; then docker compose "$@"; else "$tools/docker-compose" "$@"; fi
}

# --- Images and Compose ---------------------------------------------------------------------------------------------

compose_variants() {
  local secrets=$work/secrets
  NOVITA_API_KEY=only-for-this-check scripts/new-secrets.sh "$secrets" >/dev/null || return 1
  export SECRETS_DIR=$secrets
  compose --env-file /dev/null config >"$work/local.yml" || return 1
  UPSTASH_REDIS_REST_URL=https://x.upstash.io UPSTASH_REDIS_REST_TOKEN_FILE=$secrets/envs_secret \
    compose --env-file /dev/null config >"$work/upstash.yml" || return 1
  compose --env-file /dev/null --profile monitoring config -q || return 1
  (unset SECRETS_DIR; compose --env-file compose/demo.env --profile demo config -q) || return 1
  # Exactly one kind of Redis in each.
  grep -q 'REDIS_URL: redis://redis:6379' "$work/local.yml" && ! grep -q 'UPSTASH_REDIS_REST_TOKEN_FILE' "$work/local.yml" &&
    ! grep -q ' REDIS_URL: ' "$work/upstash.yml" && grep -q 'UPSTASH_REDIS_REST_URL: https' "$work/upstash.yml" ||
    { echo "each deployment must be given exactly one kind of Redis"; return 1; }
  echo "local, Upstash, monitoring, demo"
}

example_settings() {
  local name unused=0
  for name in $(sed -nE 's/^#?([A-Z_]+)=.*/\1/p' .env.example); do
    grep -q "\${$name[:}-]" docker-compose.yml || { echo "docker-compose.yml does not read $name"; unused=1; }
  done
  return $unused
}

if [ -x "$bin/hadolint" ]; then
  check "hadolint Dockerfile" "$bin/hadolint" Dockerfile
  check "checkov Dockerfile" "$bin/checkov" -f Dockerfile --framework dockerfile --compact --quiet --skip-download
else
  cannot "hadolint, checkov" "Python's packages could not be installed"
fi
if docker compose version >/dev/null 2>&1 || [ -x "$tools/docker-compose" ]; then
  check "docker compose config" compose_variants
else
  cannot "docker compose config" "neither here nor in Debian's archive"
fi
check ".env.example and docker-compose.yml agree" example_settings

sbom() {
  scripts/sbom.py >"$work/sbom.json" &&
    "$python" - "$work/sbom.json" <<'P'
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1]).read()
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
assert error is None, error
parts = json.loads(text)["components"]
assert all(part.get("licenses") for part in parts), "a part without a licence"
print(len(parts), "parts, each with its licence")
P
}
[ -x "$python" ] && check "sbom, by the schema of CycloneDX" sbom

# --- The chart ------------------------------------------------------------------------------------------------------

chart=helm/novita-gpu

# render HELM FOLDER: every set of values
render() {
  local values
  mkdir -p "$2"
  for values in $chart/ci/*.yaml; do
    "$1" lint --strict $chart -f "$values" || return 1
    "$1" template rel $chart --namespace gpu -f "$values" --kube-version 1.31.0 >"$2/$(basename "$values")" || return 1
  done
  echo "$(ls "$2" | wc -l) sets of values, $("$1" version --short)"
}

refuse() {
  local values said wanted
  for values in "$here"/refused/*.yaml; do
    wanted=$(sed -n 's/^# refused: //p' "$values")
    if said=$("$1" template rel $chart -f "$values" 2>&1); then echo "$values is accepted"; return 1; fi
    grep -q -- "$wanted" <<<"$said" || { echo "$values: $said"; return 1; }
  done
  echo "$(ls "$here"/refused | wc -l) sets of values refused"
}

alike() {
  local values
  for values in "$1"/*; do
    diff <(grep -v '^ *$' "$values") <(grep -v '^ *$' "$2/$(basename "$values")") || return 1
  done
}

# Tests end by themselves, so they need no probes.
without_tests() {
  "$python" -c 'import sys, yaml
print(yaml.safe_dump_all(it for it in yaml.safe_load_all(open(sys.argv[1])) if it and it["kind"] != "Pod"))' "$1"
}

# Why what checkov also asks for is not so: the namespace is the installer's (K8S_21), tags are pinned and digests are
# the installer's (43, 15), a limit of processor time would only throttle (11), the policies are an option and the
# least set of values is without (CKV2_K8S_6), a URL of Redis has no file variant (35), and Redis's own image has a
# low user id (40).
CHECKOV_SKIP=CKV_K8S_21,CKV_K8S_43,CKV_K8S_15,CKV_K8S_11,CKV2_K8S_6,CKV_K8S_35,CKV_K8S_40

checkov_chart() {
  local values
  for values in "$work"/helm3/*.yaml; do
    without_tests "$values" >"$work/scanned.yaml"
    "$bin/checkov" -f "$work/scanned.yaml" --framework kubernetes --compact --quiet --skip-download \
      --skip-check $CHECKOV_SKIP || return 1
  done
}

kubernetes_schemas() {
  local values
  for values in "$work"/helm3/*.yaml; do
    "$bin/kubernetes-validate" -k "$1" --strict "$values" || return 1
  done
  echo "$(ls "$work"/helm3 | wc -l) renderings, Kubernetes $1"
}

rendered_rules() {
  "$python" - "$work/helm3/everything.yaml" "$work/rendered-rules.yml" <<'P' && promtool check rules "$work/rendered-rules.yml"
import sys, yaml
rules = [it for it in yaml.safe_load_all(open(sys.argv[1])) if it and it["kind"] == "PrometheusRule"]
assert len(rules) == 1
groups = rules[0]["spec"]["groups"]
links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule]
assert links and all(link.startswith("https://example.com/docs/operations.md#") for link in links), links
yaml.safe_dump(rules[0]["spec"], open(sys.argv[2], "w"))
P
}

helm3=$tools/helm/v32/helm/helm helm4=$tools/helm/v37/helm/helm
if [ -x "$helm3" ] && [ -x "$helm4" ]; then
  check "helm 3 lint --strict, template" render "$helm3" "$work/helm3"
  check "helm 4 lint --strict, template" render "$helm4" "$work/helm4"
  check "both render alike" alike "$work/helm3" "$work/helm4"
  check "helm 3 refuses wrong values" refuse "$helm3"
  check "helm 4 refuses wrong values" refuse "$helm4"
  if [ -x "$bin/kubernetes-validate" ]; then
    check "schemas of Kubernetes 1.31" kubernetes_schemas 1.31
    check "schemas of Kubernetes 1.37" kubernetes_schemas 1.37
    check "schemas of KEDA and prometheus-operator" "$python" $here/custom_resources.py "$work"/helm3/*.yaml
    check "what must hold of every rendering" "$python" $here/chart.py "$work"/helm3/*.yaml
    check "checkov, rendered chart" checkov_chart
  else
    cannot "schemas, checkov" "Python's packages could not be installed"
  fi
else
  cannot "helm" "the packages with its binary could not be installed"
fi

# --- Monitoring -----------------------------------------------------------------------------------------------------

if has promtool; then
  check "promtool check config" promtool check config monitoring/prometheus.yml
  check "promtool check rules" promtool check rules $chart/files/rules/*.yml
  check "promtool test rules" promtool test rules monitoring/tests/*.yml
  [ -e "$work/helm3/everything.yaml" ] && check "promtool check rules, rendered chart" rendered_rules
else
  cannot "promtool" "not installed"
fi
if [ -x "$python" ]; then
  check "runbook, tests and links" "$python" $here/runbook.py
  if has prometheus && has promtool && [ -e "$work/helm3/keda.yaml" ]; then
    check "metrics, rules, dashboard and scaling against a real Prometheus" "$python" $here/live.py "$devstack" "$work/helm3/keda.yaml"
  else
    cannot "metrics, rules and dashboard against a real Prometheus" "prometheus or helm is missing"
  fi
fi
cannot "helm install, helm test" "no cluster is to be had; apply them to one before a release"
cannot "how the dashboard looks" "no Grafana is to be had; its queries and fields are checked above"

echo "$failed failed, $missing not run"
[ "$failed" = 0 ] && { [ "${STRICT:-0}" != 1 ] || [ "$missing" = 0 ]; }
