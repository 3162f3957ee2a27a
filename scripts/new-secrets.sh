#!/usr/bin/env bash
# Makes the secret files of docker-compose.yml, and keeps those that are there. The provider's key is
# taken from NOVITA_API_KEY, or asked for.
#   new-secrets.sh [directory]
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-secrets}
mkdir -p "$dir"
# Containers read the files as another user; this directory keeps everybody else on this machine out.
chmod 700 "$dir"

keep() {
  if [ -s "$dir/$1" ]; then cat >/dev/null; return; fi
  umask 077
  cat >"$dir/$1.new"
  chmod 444 "$dir/$1.new"
  mv "$dir/$1.new" "$dir/$1"
  echo "made $dir/$1"
}
random() { head -c 32 /dev/urandom | base64; }

random | keep envs_secret
random | keep marker_secret
{ printf 'whsec_'; random; } | keep webhook_secret
if [ ! -s "$dir/novita_api_key" ]; then
  if [ -z "${NOVITA_API_KEY:-}" ]; then
    read -rsp 'Key of the Novita account: ' NOVITA_API_KEY
    echo
  fi
  [ -n "$NOVITA_API_KEY" ] || { echo "new-secrets.sh: no key was given" >&2; exit 1; }
  printf '%s' "$NOVITA_API_KEY" | keep novita_api_key
fi
