#!/bin/sh
# Brings Debian to its newest state and installs all packages of all roles in one transaction; where Tor is used, what Tor
# needs comes first, and the rest by Tor. No daemon starts
# before its role has configured it (policy-rc.d); one that runs already is restarted when it is upgraded, or its holes
# would stay open. The output goes to a log that is followed from here, so that a lost SSH connection can't kill dpkg; a run
# that was cut off is finished by the next.
# shellcheck disable=SC2086 # the package list is split on purpose
set -eu

packages="{{packages}}"
units="{{units}}"
# A Tor elsewhere that apt is to use until it is configured; empty for none.
first_proxy="{{proxy}}"
needed_kib=1500000
log=/var/log/mailfruit-packages.log
policy=/usr/sbin/policy-rc.d
tor_ready=/usr/local/lib/mailfruit/tor-ready
mark="written by mailfruit while it installs packages"

fail() {
  echo "mailfruit: $1" >&2
  exit 1
}

hold_services() {
  if [ -e "$policy" ] && ! grep -q "$mark" "$policy"; then
    fail "$policy exists and is not ours; services can't be held back while packages install. Remove it and run \`pulumi up\` again."
  fi
  cat >"$policy" <<END
#!/bin/sh
# $mark
while [ "\${1#-}" != "\$1" ]; do shift; done
[ "\$(systemctl is-active "\$1")" = active ] || exit 101
END
  chmod 755 "$policy"
}

apt() {
  by_tor=$(circuit)
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y \
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o APT::Update::Error-Mode=any \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold $by_tor "$@"
}

# Where apt goes by Tor, each try has another user name, which Tor gives another circuit (IsolateSOCKSAuth, torrc(5)).
try=1
circuit() {
  proxy=
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  case ${proxy:=$first_proxy} in
  socks5h://*) printf ' -o Acquire::%s::Proxy=socks5h://apt%s:x@'"${proxy##*[/@]}" http $try https $try tor $try ;;
  esac
}

# A bad circuit is left for another one; what has come already isn't fetched again.
fetched() {
  until apt "$@"; do
    [ -n "$(circuit)" ] && [ "$try" -lt 4 ] || return 1
    try=$((try + 1))
    echo "trying again by another circuit of Tor ($try of 4); it goes on where it stopped"
  done
}

follow() {
  : >"$log"
  "$@" >>"$log" 2>&1 </dev/null &
  worker=$!
  tail -n +1 -f -s 0.1 --pid="$worker" "$log" || true
  wait "$worker"
}

busy() {
  case $(systemctl is-active "$1") in active | activating) return 0 ;; *) return 1 ;; esac
}

# DPkg::Lock::Timeout doesn't wait for the lock of the package lists, which Debian's own timer takes after a boot.
await_daily_upgrade() {
  for service in apt-daily.service apt-daily-upgrade.service; do
    busy "$service" || continue
    echo "waiting: Debian's own $service is at work"
    tries=900
    while busy "$service" && [ "$tries" -gt 0 ]; do
      sleep 1
      tries=$((tries - 1))
    done
    [ "$tries" -gt 0 ] ||
      fail "$service has been running for 15 minutes. Look at \`journalctl -u $service\` on the server, then run \`pulumi up\` again."
  done
}

# Debian enables what it installs: a reboot before the first role is applied would start it as Debian has it.
disable_unconfigured() {
  [ ! -e /var/lib/mailfruit/roles ] || return 0
  for unit in $units; do
    busy "$unit" || ! systemctl cat "$unit" >/dev/null 2>&1 || systemctl disable --quiet "$unit"
  done
}

explain() {
  free=$(df -k --output=avail / | tail -n 1)
  [ "$free" -gt 100000 ] ||
    fail "no room on the server's disk: $((free / 1024)) MiB are free on /. Make room or take a larger size, then run \`pulumi up\` again; it goes on where it stopped."
  fail "$1 Its own words are above and in $log on the server. Run \`pulumi up\` again when this is mended; it goes on where it stopped."
}

main() {
  trap '' HUP PIPE
  exec 9>/run/mailfruit.lock
  chmod 600 /run/mailfruit.lock
  flock -n 9 || { echo "waiting: another deployment is at work on this server"; flock 9; }
  free=$(df -k --output=avail / | tail -n 1)
  dpkg-query -W $packages >/dev/null 2>&1 || [ "$free" -gt "$needed_kib" ] ||
    fail "no room on the server's disk: $((free / 1024)) MiB are free on /, the packages need about $((needed_kib / 1024)). Make room or take a larger size, then run \`pulumi up\` again."
  hold_services
  trap 'rm -f "$policy"' EXIT
  await_daily_upgrade
  follow dpkg --configure -a --force-confdef --force-confold ||
    explain "packages that an earlier run left half installed could not be set up."
  # Its role has Postfix' configuration; Debian would take six seconds to make one that is then thrown away.
  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
  [ ! -x "$tor_ready" ] || "$tor_ready" --wait 300 || fail "Tor is not ready, see above. Where it is blocked, set torBridges; without Tor: \`pulumi config set useTor false\`. Then run \`pulumi up\` again; it goes on where it stopped."
  follow fetched update || explain "the package lists could not be fetched from Debian's mirror."
  [ -z "$(circuit)" ] || follow fetched --no-install-recommends --download-only full-upgrade $packages ||
    explain "the packages could not be fetched from Debian's mirror."
  follow apt --no-install-recommends full-upgrade $packages ||
    explain "Debian could not be upgraded, or the packages could not be installed."
  disable_unconfigured
}

main
