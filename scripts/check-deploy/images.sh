#!/usr/bin/env bash
# `make check-images`: builds the images, starts them with Compose beside the simulated provider, lets an instance live
# through them, and stops everything with SIGTERM. Needs a Docker engine and Compose v2.
#   QUICK=1          builds without optimising across crates
#   HOST_NETWORK=1   for engines without networks of their own: everything on the host's loopback
set -euo pipefail
cd "$(dirname "$0")/../.."
here=scripts/check-deploy
export COMPOSE_PROJECT_NAME=novita-gpu-check IMAGE_TAG=check
GIT_COMMIT=$(git rev-parse HEAD)
export GIT_COMMIT

files=(-f docker-compose.yml)
[ "${HOST_NETWORK:-0}" = 1 ] && files+=(-f "$here/compose.host.yml")
compose() { docker compose --env-file compose/demo.env --profile demo "${files[@]}" "$@"; }
arguments=()
[ "${QUICK:-0}" = 1 ] && arguments=(--build-arg LTO=off --build-arg CODEGEN_UNITS=16)

compose build "${arguments[@]}"

# No image may weigh more than its binaries.
base=$(docker image inspect -f '{{.Size}}' "$(sed -n 's/^FROM \(.*\) AS runtime$/\1/p' Dockerfile)")
for name in api worker migrations; do
  size=$(docker image inspect -f '{{.Size}}' "novita-gpu-$name:check")
  over=$(((size - base) / 1000000))
  echo "novita-gpu-$name: $over MB over its base"
  [ "$over" -le 40 ] || { echo "that is more than 40 MB" >&2; exit 1; }
  [ "$(docker image inspect -f '{{.Config.User}}' "novita-gpu-$name:check")" = 65532:65532 ]
done

trap 'compose down -v -t 40 >/dev/null 2>&1 || true' EXIT
compose up -d --wait --wait-timeout 180
for service in api worker; do
  compose exec -T "$service" "/usr/local/bin/novita-$service" --version | grep -F "+${GIT_COMMIT:0:12}"
done

api=http://127.0.0.1:3000
create='{"name":"check","productName":"RTX 4090 24GB","templateId":"100234","webhookUrl":"http://127.0.0.1:8091/hook"}'
status() { curl -sf "$api/api/instances/$id" | python3 -c 'import json, sys; print(json.load(sys.stdin)["status"])'; }
until_status() {
  for _ in $(seq 300); do
    [ "$(status)" = "$1" ] && { echo "$1"; return; }
    sleep 0.2
  done
  echo "$id is $(status), not $1" >&2
  compose logs --tail 30 >&2
  exit 1
}

id=$(curl -sf "$api/api/instances" -H 'Content-Type: application/json' -d "$create" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["instanceId"])')
until_status ready

# What has begun survives an end of every process.
compose stop -t 40 api worker
for service in api worker; do
  code=$(docker inspect -f '{{.State.ExitCode}}' "$(compose ps -aq "$service")")
  echo "$service ended with $code after SIGTERM"
  [ "$code" = 0 ]
done
compose up -d --wait --wait-timeout 60
[ "$(status)" = ready ]
curl -sf -X DELETE "$api/api/instances/$id" >/dev/null
until_status terminated
compose logs demo --no-log-prefix | grep '^webhook' | awk '{print $NF}' | sort | uniq -c

# Without Redis they are not ready, and say so.
compose stop -t 5 redis
for _ in $(seq 60); do
  health=$(docker inspect -f '{{.State.Health.Status}}' "$(compose ps -aq api)")
  [ "$health" = unhealthy ] && break
  sleep 1
done
echo "api without Redis: $health"
[ "$health" = unhealthy ]
echo "images: all is well"
