#!/bin/sh
# Unpack Oracle MySQL into a private folder, without touching the system.
#
# Debian 12 has no Oracle MySQL, its unstable suite has. The packages are fetched with apt, checked
# against the archive's keyring, and unpacked (not installed) into one folder together with every
# library they need; `shardctl sandbox --engine mysql` runs the server from there by its own loader.
#
# The folder: $SHARDCTL_MYSQL_ROOT, else ${XDG_CACHE_HOME:-$HOME/.cache}/shardctl/mysql.
# A folder whose server runs is left as it is, so a second run does nothing.
set -eu

say() { printf 'install-mysql: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

root=${SHARDCTL_MYSQL_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/shardctl/mysql}

# The version line of the unpacked server, or nothing.
version_of() {
    loader=
    for candidate in "$1"/usr/lib64/ld-linux-*.so.* "$1"/lib64/ld-linux-*.so.* \
        "$1"/usr/lib/ld-linux-*.so.* "$1"/lib/ld-linux-*.so.*; do
        [ -x "$candidate" ] && loader=$candidate && break
    done
    [ -n "$loader" ] && [ -x "$1/usr/sbin/mysqld" ] || return 1
    libraries=
    for folder in "$1"/usr/lib/*-linux-gnu* "$1"/lib/*-linux-gnu*; do
        [ -d "$folder" ] && libraries="$libraries${libraries:+:}$folder"
    done
    "$loader" --library-path "$libraries" "$1/usr/sbin/mysqld" --no-defaults --version 2>/dev/null |
        grep -i mysql | grep -vi mariadb
}

if version=$(version_of "$root"); then
    say "nothing to do: $root has ${version#*mysqld}"
    exit 0
fi

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    die "needs apt-get and dpkg-deb (Debian or a relative of it); elsewhere install MySQL and set SHARDCTL_MYSQLD to its mysqld"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || die "no $keyring; install the package debian-archive-keyring"

# The mirror this machine already uses for its own suite (its updates and security suites have a
# dash in their name and may be elsewhere): never one of our choice.
mirrors() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk '$2 ~ /[-\/]/ { next }
             $1 ~ /debian\/?$/ { print $1; found = 1; exit }
             !first { first = $1 }
             END { if (!found && first) print first }'
}
mirror=$(mirrors)
if [ -z "$mirror" ]; then
    die "apt has no Debian mirror in its configuration to fetch from (see apt-get indextargets)"
fi

mkdir -p "$(dirname "$root")"
# Beside the final place, so that the rename at the end is one step.
work=$(mktemp -d -p "$(dirname "$root")")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

apt=$work/apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/etc"
: >"$apt/status"
printf 'deb [signed-by=%s] %s sid main\n' "$keyring" "$mirror" >"$apt/etc/sources.list"

# The system's apt.conf stays in force (proxies, certificates); its state and sources do not.
# An empty status file makes apt bring every library, down to libc.
private_apt() {
    apt-get -q \
        -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" \
        -o Dir::Cache="$apt/cache" \
        -o Dir::Etc::SourceList="$apt/etc/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o APT::Get::List-Cleanup=false \
        "$@" >"$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log" >&2; return 1; }
}

say "fetching mysql-server-core and mysql-client-core of Debian's unstable suite (about 65 MB)"
private_apt update || die "apt could not read the package lists"
private_apt -d -y --no-install-recommends install mysql-server-core mysql-client-core ||
    die "apt could not fetch the packages"

say "unpacking into $root"
mkdir "$work/root"
count=0
for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$work/root"
    count=$((count + 1))
done
[ "$count" -gt 0 ] || die "apt fetched no package"

version=$(version_of "$work/root") || die "the unpacked server does not run"
# Two runs at once: the first to finish wins, the second finds a running server and leaves it.
if version_of "$root" >/dev/null; then
    say "another run was faster; its folder is kept"
else
    rm -rf "$root"
    mv -T "$work/root" "$root"
fi
say "done: ${version#*mysqld}"
