# Sourced by tests/run.sh and examples/quickstart.sh: installs what a build needs, and builds.
# shellcheck shell=sh

# need PACKAGE CHECK...: notes a Debian package whose check fails. What is there in another way (a
# newer cmake from elsewhere, say) is not installed again.
missing=
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 && return
    case "$missing " in
    *" $package "*) ;;
    *) missing="$missing $package" ;;
    esac
}
have() { command -v "$1"; }

# Installs what `need` noted; without apt-get, or without the right to use it, says what is missing.
install_missing() {
    [ -n "$missing" ] || return 0
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    if ! have apt-get >/dev/null || { [ -n "$as_root" ] && ! have sudo >/dev/null; }; then
        echo "convt: please install (Debian's names):$missing" >&2
        exit 1
    fi
    echo "installing:$missing"
    # An unreachable source of somebody else must not end this; the next line says what is missing.
    $as_root apt-get update -qq || true
    # shellcheck disable=SC2086  # a list of packages
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

cmake_is_new_enough() {
    cmake --version | awk '/^cmake version/ { split($3, v, "."); exit !(v[1] > 3 || (v[1] == 3 && v[2] >= 25)) }'
}

# What every build needs. gcc brings the headers of libc only as a recommendation.
need_build_tools() {
    need gcc have gcc
    need libc6-dev sh -c 'echo "#include <stdio.h>" | gcc -E -'
    need cmake have cmake
    have ninja >/dev/null || need make have make
    need pkg-config have pkg-config
    need zlib1g-dev pkg-config --exists zlib
    need libpng-dev pkg-config --exists libpng
    need libjansson-dev pkg-config --exists jansson
    need libzip-dev pkg-config --exists libzip
    need libhdf5-dev pkg-config --exists hdf5
}

# build PRESET FOLDER: configures and builds one of CMakePresets.json.
build() {
    if ! cmake_is_new_enough; then
        echo "convt: cmake 3.25 or newer is needed, this is $(cmake --version | head -n 1)" >&2
        exit 1
    fi
    # A folder keeps the generator that it was made with.
    if [ ! -f "$2/CMakeCache.txt" ] && have ninja >/dev/null; then
        CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
        export CMAKE_GENERATOR
    fi
    cmake --preset "$1"
    cmake --build "$2" -j "$(nproc)"
}
