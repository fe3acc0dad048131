#!/bin/sh
# Builds and runs every test; installs what that needs (Debian, Ubuntu). From any directory:
#
#   sh tests/run.sh            all tests, then all of them again under ASan and UBSan
#   sh tests/run.sh --quick    the first half only
set -eu
cd "$(dirname "$0")/.."
quick=
case ${1-} in
"") ;;
--quick) quick=yes ;;
*)
    echo "usage: sh tests/run.sh [--quick]" >&2
    exit 2
    ;;
esac
. tools/setup.sh

need_build_tools
need libcmocka-dev pkg-config --exists cmocka
need strace have strace
need libopenmpi-dev have mpicc
need openmpi-bin have mpirun
need make have make # the outside project of tests/consumer has a Makefile
# Elsewhere the report's test runs where a browser is there; in continuous integration it must run.
[ "${CI-}" != true ] || need chromium have chromium
install_missing

# Stops at the first suite that fails, so that what failed stands at the end.
total=0
run_suite() { # PRESET FOLDER
    build "$1" "$2"
    ctest --test-dir "$2" --output-on-failure -j "$(nproc)" --no-tests=error
    total=$((total + $(ctest --test-dir "$2" -N | sed -n 's/^Total Tests: //p')))
}
run_suite ci build/test
[ -n "$quick" ] || run_suite asan build/asan

# ctest's words over both; its own last lines (versions differ in them) name what was skipped.
echo
echo "100% tests passed, 0 tests failed out of $total"
