#!/bin/sh
# Waits until a new machine is ready, and refuses one that is no Debian 13 before anything on it is changed.
set -eu

main() {
  # shellcheck source=/dev/null
  . /etc/os-release
  if [ "${ID:-}" != debian ] || [ "${VERSION_ID:-}" != 13 ]; then
    echo "mailfruit: this machine runs ${PRETTY_NAME:-an unknown system}, and mailfruit needs Debian 13. Nothing on it was changed." >&2
    exit 1
  fi
  if command -v cloud-init >/dev/null; then
    # 2 means done with warnings (cloud-init status --help)
    cloud-init status --wait >/dev/null 2>&1 || [ $? -eq 2 ] || {
      echo "mailfruit: cloud-init failed on this machine: $(cloud-init status --long 2>&1)" >&2
      exit 1
    }
  fi
  echo "$PRETTY_NAME is ready"
}

main
