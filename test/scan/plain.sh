#!/bin/sh
# Makes this machine a mail server as Debian installs it, with only what every administrator sets: its name, a
# certificate as certbot has it, submission as master.cf has it commented out, and one mailbox. The password comes by
# standard input. Again on the same machine it changes nothing.
#
#   sh -c "$(cat plain.sh)" sh DOMAIN <PASSWORD
set -eu
domain=$1
password=$(cat)
host=mail.$domain
done=/var/lib/plain-mail-server
[ ! -e "$done" ] || exit 0

hostname "$host"
echo "$host" >/etc/hostname
echo "127.0.1.1 $host mail" >>/etc/hosts

export DEBIAN_FRONTEND=noninteractive
debconf-set-selections <<EOF
postfix postfix/main_mailer_type select Internet Site
postfix postfix/mailname string $domain
EOF
apt-get -q -y update
apt-get -q -y install postfix dovecot-imapd dovecot-lmtpd dovecot-managesieved openssh-server openssl

# Let's Encrypt's fields, without its signature; certbot's keys are P-256.
live=/etc/letsencrypt/live/$host
mkdir -p "$live"
cd "$live"
p256() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
p256 ca-key.pem
openssl req -x509 -new -key ca-key.pem -subj "/C=US/O=Let's Encrypt/CN=E7" -days 1000 -out chain.pem
p256 privkey.pem
cat >fields <<EOF
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:$host
EOF
openssl req -new -key privkey.pem -subj "/CN=$host" |
  openssl x509 -req -CA chain.pem -CAkey ca-key.pem -days 90 -extfile fields -out cert.pem
cat cert.pem chain.pem >fullchain.pem

postconf "smtpd_tls_cert_file = $live/fullchain.pem" "smtpd_tls_key_file = $live/privkey.pem" \
  "smtpd_sasl_type = dovecot" "smtpd_sasl_path = private/auth" "mailbox_transport = lmtp:unix:private/dovecot-lmtp"
sed -i '/^#submission /,/^#628 /s/^#\(submissions\{0,1\} \|  -o \)/\1/' /etc/postfix/master.cf

cat >/etc/dovecot/local.conf <<EOF
ssl_server_cert_file = $live/fullchain.pem
ssl_server_key_file = $live/privkey.pem
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
    user = postfix
    group = postfix
  }
}
auth_username_format = %{user | username | lower}
EOF
useradd --create-home --shell /usr/sbin/nologin test
echo "test:$password" | chpasswd
systemctl restart postfix dovecot
touch "$done"
