#!/bin/sh
# Install a MariaDB server where there is no server at all.
#
# Only the programs (mariadb-server-core): no service, no configuration, no data. A machine that
# has a mysqld or mariadbd already is left as it is: `shardctl sandbox` uses that one.
set -eu

for name in mariadbd mysqld; do
    program=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$name" || true)
    if [ -n "$program" ]; then
        printf 'install-mariadb: nothing to do: %s\n' "$("$program" --no-defaults --version)" >&2
        exit 0
    fi
done

"$(dirname "$0")/apt-install.sh" "a MySQL or MariaDB server" mariadb-server-core mariadb-client-core
PATH=$PATH:/usr/sbin
printf 'install-mariadb: done: %s\n' "$(mariadbd --no-defaults --version)" >&2
