#!/usr/bin/env bash
# Installs what is missing among the named programs, and says what it does.
#   install.sh redis-server [python3] [node npm] [prometheus]
set -euo pipefail

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The package of a program, by package manager.
package() {
  case "$1:$2" in
    redis-server:apt-get) echo redis-server ;;
    redis-server:*) echo redis ;;
    python3:apt-get) echo python3-venv ;;
    python3:*) echo python3 ;;
    node:brew | npm:brew) echo node ;;
    node:*) echo nodejs ;;
    npm:*) echo npm ;;
    prometheus:*) echo prometheus ;;
    *) echo "install.sh: unknown program $1" >&2; exit 2 ;;
  esac
}

present() {
  case "$1" in
    # A Python without venv cannot run the client tests.
    python3) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

install() {
  if command -v apt-get >/dev/null; then
    echo "$1 is missing: installing $(package "$1" apt-get) with apt-get"
    as_root apt-get update -qq
    # The package would start a server of its own on the default port; ours are started by devstack.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
      apt-get install -y -qq --no-install-recommends "$(package "$1" apt-get)" >/dev/null
  elif command -v dnf >/dev/null; then
    echo "$1 is missing: installing $(package "$1" dnf) with dnf"
    as_root dnf install -y -q "$(package "$1" dnf)"
  elif command -v brew >/dev/null; then
    echo "$1 is missing: installing $(package "$1" brew) with brew"
    brew install --quiet "$(package "$1" brew)"
  else
    echo "$1 is missing, and none of apt-get, dnf and brew is here: please install it" >&2
    exit 1
  fi
}

for program in "$@"; do
  present "$program" || install "$program"
  present "$program" || { echo "$program is still missing after its installation" >&2; exit 1; }
done
