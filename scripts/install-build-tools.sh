#!/bin/sh
# Install what a build needs beside Rust: a C compiler and linker, rustfmt and clippy.
set -eu

command -v cargo >/dev/null || {
    echo "install-build-tools: error: there is no cargo; install Rust from https://rustup.rs" >&2
    exit 1
}

# Rust links by it, and the TLS library has C in it. libc6-dev has the files to link with.
if ! command -v cc >/dev/null; then
    "$(dirname "$0")/apt-install.sh" "a C compiler" gcc libc6-dev
fi

for component in rustfmt clippy; do
    case $component in
        rustfmt) command="cargo fmt" ;;
        clippy) command="cargo clippy" ;;
    esac
    if ! $command --version >/dev/null 2>&1; then
        command -v rustup >/dev/null || {
            echo "install-build-tools: error: no $component, and no rustup to add it" >&2
            exit 1
        }
        echo "install-build-tools: adding $component" >&2
        rustup component add "$component"
    fi
done
