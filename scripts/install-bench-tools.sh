#!/bin/sh
# Unpack what the benchmarks compare with: MariaDB's Spider engine and mariadb-dump.
#
# Not installed, for Debian's Spider package wants the whole server with its service: the packages
# are fetched by apt and unpacked into one folder, from which the benchmarks take the plugin and the
# program. The folder: $SHARDCTL_BENCH_TOOLS, else ${XDG_CACHE_HOME:-$HOME/.cache}/shardctl/bench-tools.
# Where they cannot be had, the benchmarks say what they leave out: that is no error here.
set -eu

say() { printf 'install-bench-tools: %s\n' "$*" >&2; }

root=${SHARDCTL_BENCH_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/shardctl/bench-tools}
if [ -r "$root/usr/lib/mysql/plugin/ha_spider.so" ] && [ -x "$root/usr/bin/mariadb-dump" ]; then
    say "nothing to do: $root"
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    say "warning: no apt-get and dpkg-deb; Spider and mariadb-dump will not be compared with"
    exit 0
fi

mkdir -p "$(dirname "$root")"
work=$(mktemp -d -p "$(dirname "$root")")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A plugin is loaded only by the server of its own version.
version=$(dpkg-query -W -f '${Version}' mariadb-server-core 2>/dev/null || true)
for package in mariadb-plugin-spider mariadb-client; do
    if ! (cd "$work" && apt-get -q -o APT::Sandbox::User="$(id -un)" download "$package${version:+=$version}" >/dev/null); then
        say "warning: apt cannot fetch $package${version:+ $version}; it will not be compared with"
        continue
    fi
    dpkg-deb -x "$work/${package}_"*.deb "$work/root"
done
if [ -d "$work/root" ]; then
    rm -rf "$root"
    mv -T "$work/root" "$root"
    say "done: $root"
fi
