#!/bin/sh
# Builds the library for AArch64 and runs what tests it, with NEON kernels, under qemu; installs what that
# needs (Debian, Ubuntu). Of the command and of files nothing is tested: their libraries would be needed.
#
#     sh tests/neon.sh [REGEX]    tests whose names match, default: all
set -eu
cd "$(dirname "$0")/.."
. tools/setup.sh
need_build_tools
need gcc-aarch64-linux-gnu have aarch64-linux-gnu-gcc
need libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu/include/stdio.h
need qemu-user have qemu-aarch64
install_missing

# cmocka for AArch64, unpacked beside the build: the system's packages stay as they are.
root=$PWD/build/neon/root
if [ ! -d "$root" ]; then
    mkdir -p build/neon/apt/lists/partial build/neon/apt/cache/archives/partial
    (
        cd build/neon/apt
        set -- -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
            -o Dir::State::lists="$PWD/lists" -o Dir::State::status=/dev/null \
            -o Dir::Cache="$PWD/cache" -o Debug::NoLocking=1
        apt-get "$@" update
        apt-get "$@" download libcmocka0 libcmocka-dev
        for package in *.deb; do dpkg -x "$package" "$root.new"; done
    )
    mv "$root.new" "$root"
fi
export PKG_CONFIG_LIBDIR="$root/usr/lib/aarch64-linux-gnu/pkgconfig"
export PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
build neon build/neon
ctest --test-dir build/neon --output-on-failure -j "$(nproc)" --no-tests=error -R "${1:-.}" \
    -E 'example_|packaging_'
