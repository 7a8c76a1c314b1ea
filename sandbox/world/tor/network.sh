#!/bin/sh
# A private Tor network on one Debian guest: an authority that is a relay as well, four relays, an exit, two bridges and a
# client. Run as root in that guest: network.sh ADDRESS. Prints what a guest that joins has to know, as JSON.
# What stands is left as it is.
set -eu

address=$1
home=/srv/tor
nodes="authority relay1 relay2 relay3 relay4 exit"
bridges="vanilla obfs4"

install_tor() {
  ! command -v tor obfs4proxy >/dev/null || return 0
  systemctl mask --quiet tor.service
  apt-get -q update >&2
  DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install tor obfs4proxy torsocks >&2
}

port_of() {
  case $1 in authority) echo 5101 ;; relay1) echo 5102 ;; relay2) echo 5103 ;; relay3) echo 5104 ;; relay4) echo 5105 ;; exit) echo 5106 ;; vanilla) echo 5107 ;; obfs4) echo 5108 ;; esac
}

fingerprint() {
  # The authority's own torrc is whole only when it names this.
  printf 'DataDirectory %s\nNickname %s\nORPort %s\n' "$home/$1/data" "$1" "$(port_of "$1")" >"$home/$1/identity"
  tor -f "$home/$1/identity" --list-fingerprint --quiet | cut -d ' ' -f 2- | tr -d ' '
}

# What every node has; the authority's own keys are made first, as the others name it.
common() {
  cat <<END
DataDirectory $home/$1/data
Nickname $1
TestingTorNetwork 1
AssumeReachable 1
PathsNeededToBuildCircuits 0.25
EnforceDistinctSubnets 0
ExitPolicyRejectPrivate 0
ExtendAllowPrivateAddresses 1
LearnCircuitBuildTimeout 0
ShutdownWaitLength 0
SocksPort 0
Address $address
ORPort $address:$(port_of "$1") IPv4Only
Log notice stdout
END
}

make_authority() {
  mkdir -p "$home/authority/data/keys"
  { common authority; echo "ExitRelay 0"; echo "ExitPolicy reject *:*"; } >"$home/authority/torrc"
  (
    cd "$home/authority/data/keys"
    echo network | tor-gencert --create-identity-key -m 12 -a "$address:7101" --passphrase-fd 0 >&2
  )
  cat >>"$home/authority/torrc" <<END
DirPort $address:7101
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo nobody@example.org
TestingV3AuthInitialVotingInterval 10
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
V3AuthNIntervalsValid 100
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinExitFlagThreshold 0
END
}

directory() {
  v3ident=$(sed -n 's/^fingerprint //p' "$home/authority/data/keys/authority_certificate")
  echo "DirAuthority authority orport=5101 no-v2 v3ident=$v3ident $address:7101 $(fingerprint authority)"
}

make_relays() {
  for name in relay1 relay2 relay3 relay4 exit $bridges; do
    mkdir -p "$home/$name"
    { common "$name"; cat "$home/directory"; } >"$home/$name/torrc"
  done
  for name in relay1 relay2 relay3 relay4 $bridges; do
    printf 'ExitRelay 0\nExitPolicy reject *:*\n' >>"$home/$name/torrc"
  done
  printf 'ExitRelay 1\nExitPolicy accept *:*\n' >>"$home/exit/torrc"
  for name in $bridges; do
    printf 'BridgeRelay 1\nPublishServerDescriptor 0\nBridgeDistribution none\n' >>"$home/$name/torrc"
  done
  cat >>"$home/obfs4/torrc" <<END
ExtORPort auto
ServerTransportPlugin obfs4 exec /usr/bin/obfs4proxy
ServerTransportListenAddr obfs4 $address:5206
END
}

make_client() {
  mkdir -p "$home/client/onion-auth"
  chmod 700 "$home/client/onion-auth"
  cat >"$home/client/torrc" <<END
DataDirectory $home/client/data
TestingTorNetwork 1
EnforceDistinctSubnets 0
LearnCircuitBuildTimeout 0
$(cat "$home/directory")
ClientOnionAuthDir $home/client/onion-auth
SocksPort $address:9050
Log notice stdout
END
}

write_units() {
  cat >/etc/systemd/system/tor-node@.service <<END
[Service]
ExecStart=/usr/bin/tor -f $home/%i/torrc
ExecReload=/bin/kill -HUP \$MAINPID
Restart=on-failure
END
  systemctl daemon-reload
}

start() {
  for name in "$@"; do
    systemctl start "tor-node@$name"
  done
}

# Waits until a command says yes, for half a minute.
await() {
  tries=300
  until "$1" 2>/dev/null; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "the Tor network doesn't come up ($1): see journalctl -u 'tor-node@*'"
    sleep 0.1
  done
}

fail() {
  echo "$1" >&2
  exit 1
}

consensus=$home/authority/data/cached-microdesc-consensus

consensus_is_whole() { [ "$(grep -c '^r ' "$consensus")" = 6 ]; }
consensus_is_new() { consensus_is_whole && [ "$(stat -c %i "$consensus")" != "$before" ]; }
client_is_up() { journalctl -u tor-node@client -o cat --since -1min | grep -q 'Bootstrapped 100%'; }
obfs4_is_up() { grep -q '^Bridge obfs4' "$home/obfs4/data/pt_state/obfs4_bridgeline.txt"; }

# At first the authority votes every ten seconds, or the network would take minutes to find itself. Then every five
# minutes: where onion services are looked up changes with every 24th vote, and a client whose consensus is older than a
# service's would look elsewhere.
slow_down() {
  await consensus_is_whole
  sed -i 's/^V3AuthVotingInterval .*/V3AuthVotingInterval 300/; s/^V3Auth\(Vote\|Dist\)Delay .*/V3Auth\1Delay 20/' "$home/authority/torrc"
  before=$(stat -c %i "$consensus")
  systemctl reload tor-node@authority
  await consensus_is_new
}

make() {
  systemctl stop 'tor-node@*'
  rm -rf "$home"
  make_authority
  directory >"$home/directory"
  cat "$home/directory" >>"$home/authority/torrc"
  make_relays
  make_client
  write_units
  # shellcheck disable=SC2086 # lists
  start $nodes $bridges
  slow_down
  # What learned of the network while it was young begins anew.
  rm -rf "$home"/vanilla/data/cached-* "$home"/obfs4/data/cached-*
  # shellcheck disable=SC2086
  for name in $bridges; do systemctl restart "tor-node@$name"; done
  start client
  await client_is_up
  await obfs4_is_up
}

describe() {
  cert=$(sed -n 's/^Bridge obfs4.* \(cert=.*\)$/\1/p' "$home/obfs4/data/pt_state/obfs4_bridgeline.txt")
  cat <<END
{
  "torrcExtra": "TestingTorNetwork 1\\nEnforceDistinctSubnets 0\\n$(cat "$home/directory")",
  "bridges": {
    "vanilla": "$address:$(port_of vanilla) $(fingerprint vanilla)",
    "obfs4": "obfs4 $address:5206 $(fingerprint obfs4) $cert"
  }
}
END
}

main() {
  install_tor
  # A network that was off for a while has no consensus that anybody takes: after a boot it is another one.
  if [ ! -e /run/tor-network ]; then
    make
    touch /run/tor-network
  fi
  describe
}

main
