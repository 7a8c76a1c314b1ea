#!/bin/bash
# Keeps one guest on: boots it, boots it again when it reboots itself, and ends when it powers itself off. It is a
# process of its own so that guests outlive the cloud.
# usage: supervise.sh GUEST_DIR CGROUP_DIR...
set -eu

guest=$1
shift
for group; do
  echo $$ >"$group/supervisor/cgroup.procs"
done

# Who we are, before there is a guest: its fields are those of processes.ts.
stat=$(<"/proc/$$/stat")
read -ra fields <<<"${stat##*) }"
printf '{"pid":%s,"startTime":"%s","bootId":"%s"}\n' \
  "$$" "${fields[19]}" "$(</proc/sys/kernel/random/boot_id)" >"$guest/supervisor.json.new"
mv "$guest/supervisor.json.new" "$guest/supervisor.json"

boot() {
  for group; do
    echo "$BASHPID" >"$group/guest/cgroup.procs"
  done
  # Read at each boot: volumes may have come and gone. Its items end with NUL.
  mapfile -d '' -t command <"$guest/boot"
  exec "${command[@]}"
}

rebooted=133 # systemd-nspawn's own number
status=$rebooted
while [ "$status" = "$rebooted" ]; do
  status=0
  (boot "$@") || status=$?
done
echo "$status" >"$guest/ended"
