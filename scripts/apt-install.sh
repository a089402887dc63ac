#!/bin/sh
# Install Debian packages and say what for: apt-install.sh REASON PACKAGE...
#
# For the other scripts here. Recommended packages are left out, no service is started by them.
set -eu

reason=$1
shift

say() { printf 'apt-install: %s\n' "$*" >&2; }

if ! command -v apt-get >/dev/null; then
    say "error: $reason is missing, and this system has no apt-get to install it with"
    say "install it by hand (in Debian: $*) and try again"
    exit 1
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        say "error: $reason is missing; run as root: apt-get install --no-install-recommends $*"
        exit 1
    fi
    as_root="sudo"
fi

# Waits for another apt instead of failing.
apt() {
    # Without quotes: empty for root.
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >&2
}

say "$reason is missing; installing $*"
# A mirror that is down for a moment is no reason to fail while the lists are good enough.
apt update || say "warning: apt-get update failed; trying with the lists there are"
apt install -y --no-install-recommends "$@"
