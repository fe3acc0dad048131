#!/bin/sh
# Looks for bytes that a reader of files does not survive, with libFuzzer; installs what that needs (Debian,
# Ubuntu). From any directory:
#
#   sh tests/fuzz.sh [SECONDS [TARGET...]]    each target of tests/fuzz/targets.def (or those named) for SECONDS (60)
#
# Begins with the seeds of tests/data/fuzz; what it finds on the way stays in build/fuzz/corpus. Input that a target
# does not survive stays in build/fuzz/found; exits 0 only if there is none. It needs at most 1 GiB of memory. As in the
# suite, memory that libhdf5 itself loses on damaged files is passed over, and malloc gives NULL for what no machine has.
set -eu
cd "$(dirname "$0")/.."
seconds=${1-60}
[ $# -eq 0 ] || shift
case "$seconds" in
*[!0-9]* | "")
    echo "usage: sh tests/fuzz.sh [SECONDS [TARGET...]]" >&2
    exit 2
    ;;
esac
[ $# -gt 0 ] || set -- $(sed -n 's/^TARGET(\([a-z0-9_]*\),.*/\1/p' tests/fuzz/targets.def)
# shellcheck source=tools/setup.sh
. tools/setup.sh

need_build_tools
need clang-14 have clang-14
need libclang-rt-14-dev sh -c 'ls /usr/lib/llvm-14/lib/clang/14*/lib/linux/libclang_rt.fuzzer-*.a'
need libomp-14-dev test -e /usr/lib/llvm-14/lib/libomp.so
need libcmocka-dev pkg-config --exists cmocka
install_missing
cmake --preset fuzz
cmake --build --preset fuzz -j "$(nproc)"

export OMP_NUM_THREADS=1 ASAN_OPTIONS=allocator_may_return_null=1 LSAN_OPTIONS="suppressions=$PWD/tests/support/leaks.txt"
failed=
found=build/fuzz/found
mkdir -p "$found"
for target; do
    corpus=build/fuzz/corpus/$target log=build/fuzz/$target.log
    mkdir -p "$corpus"
    # Twice the largest seed; no input may take a quarter of a GiB at once, or ten seconds.
    largest=$(ls -lS "tests/data/fuzz/$target" | awk 'NR == 2 { print 2 * $5 }')
    if build/fuzz/tests/fuzz_"$target" -max_total_time="$seconds" -max_len="$largest" \
        -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10 -print_final_stats=1 -artifact_prefix="$found/$target-" \
        "$corpus" "tests/data/fuzz/$target" >"$log" 2>&1; then
        echo "$target: $(sed -n 's/^stat::number_of_executed_units: //p' "$log") inputs, no findings"
    else
        echo "$target: see $log and $found/$target-*"
        failed=yes
    fi
done
[ -z "$failed" ]
