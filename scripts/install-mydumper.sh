#!/bin/sh
# Install mydumper and myloader for `make bench`, which measures moves beside them.
#
# A machine where they cannot be installed gets the rest of the measurements: nothing fails here.
set -eu

if command -v mydumper >/dev/null && command -v myloader >/dev/null; then
    printf 'install-mydumper: nothing to do: %s\n' "$(mydumper --version)" >&2
    exit 0
fi
"$(dirname "$0")/apt-install.sh" "mydumper, to measure beside" mydumper ||
    printf 'install-mydumper: warning: not installed; copies are NOT measured beside it\n' >&2
