#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Prints sources.list lines for Debian 13 with backports, made from the host's own apt configuration: wherever the
# host gets Debian (12 or 13) and its security updates from, trixie is there too.
set -eu
. "$(dirname "$0")/common.sh"

# URI of the first Debian archive whose label is $1.
archive() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
		awk -F'|' -v label="$1" '$1 == "Debian" && $2 == label { print $3; exit }'
}

main=$(archive Debian)
if [ -z "$main" ] && [ "$(id -u)" = 0 ]; then
	apt-get update >&2
	main=$(archive Debian)
fi
[ -n "$main" ] || die "apt knows no Debian archive here; as root: apt-get update"
security=$(archive Debian-Security)

keyring=
for f in /usr/share/keyrings/debian-archive-keyring.pgp /usr/share/keyrings/debian-archive-keyring.gpg; do
	[ ! -e "$f" ] || keyring="[signed-by=$f] "
done
echo "deb ${keyring}$main trixie main"
echo "deb ${keyring}$main trixie-updates main"
echo "deb ${keyring}$main trixie-backports main"
[ -z "$security" ] || echo "deb ${keyring}$security trixie-security main"
