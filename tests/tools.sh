#!/bin/sh
# What takes too long for tests/run.sh, a leg at a time: other compilers, sanitizers, checkers, longer runs of the
# tests. Installs what a leg needs (Debian, Ubuntu). docs/promises.md says which promise each guards.
#
#     sh tests/tools.sh              every leg; stops at none, and says at the end which failed
#     sh tests/tools.sh tsan tidy    some
#     sh tests/tools.sh --list       their names
set -eu
cd "$(dirname "$0")/.."
. tools/setup.sh

legs='
debug         the suite, compiled by gcc with assertions
clang         the suite, compiled by clang
clang-debug   the suite, compiled by clang with assertions
clang-asan    the suite under AddressSanitizer and UndefinedBehaviorSanitizer of clang
tsan          the suite under ThreadSanitizer; no suppressions
valgrind      memcheck on the tests of a small set
base          the suite with CONVT_ISA=base
avx2          the suite with CONVT_ISA=avx2
avx512        the suite with CONVT_ISA=avx512
neon          tests/neon.sh
tidy          clang-tidy on what is shipped
cppcheck      cppcheck on what is shipped
analyzer      gcc -fanalyzer on what is shipped
coverage      lines and branches of src, train and io that the suite runs
instructions  tests/instructions.sh
reproducible  two builds in two folders: the same bytes
long          more random layers, every failing malloc, a layer of more than 2^31 outputs
'

# ---- what legs share ------------------------------------------------------------------------------

need_tests() {
    need_build_tools
    need libcmocka-dev pkg-config --exists cmocka
}
need_clang() {
    need clang have clang
    need libomp-dev sh -c 'echo "#include <omp.h>" | clang -fopenmp -E -'
    need llvm have llvm-symbolizer
}

suite() { # PRESET FOLDER [ctest argument...]
    preset=$1 folder=$2
    shift 2
    build "$preset" "$folder"
    ctest --test-dir "$folder" --output-on-failure -j "$(nproc)" --no-tests=error "$@"
}

# ---- compilers and sanitizers ---------------------------------------------------------------------

leg_debug() {
    need_tests
    install_missing
    suite debug build/debug
}
leg_clang() {
    need_tests
    need_clang
    install_missing
    suite clang build/clang
}
leg_clang_debug() {
    need_tests
    need_clang
    install_missing
    suite clang-debug build/clang-debug
}
leg_clang_asan() {
    need_tests
    need_clang
    install_missing
    suite clang-asan build/clang-asan
}
leg_tsan() {
    need_tests
    need_clang
    install_missing
    suite tsan build/tsan
}

# One thread and the base row, so that it ends. What the OpenMP runtime keeps until the end is no leak.
leg_valgrind() {
    need_tests
    need valgrind have valgrind
    install_missing
    build ci build/test
    for unit in alloc layer initializer constraint regularizer model sgd schedule status names npy npz idx png json; do
        echo "== test_$unit"
        (
            mkdir -p build/test/valgrind
            cd build/test/valgrind
            OMP_NUM_THREADS=1 CONVT_ISA=base valgrind -q --error-exitcode=1 --leak-check=full \
                --errors-for-leak-kinds=definite "../tests/test_$unit"
        )
    done
}

# ---- instruction sets -----------------------------------------------------------------------------

isa_suite() {
    need_tests
    install_missing
    build ci build/test
    echo '{"filters": 1, "kernel_size": 1}' >build/test/one.json
    if ! CONVT_ISA=$1 build/test/convt info --config build/test/one.json --input 1,1,1,1 >/dev/null 2>&1; then
        echo "SKIPPED: this machine does not run $1"
        return 0
    fi
    CONVT_ISA=$1 ctest --test-dir build/test --output-on-failure -j "$(nproc)" --no-tests=error
}
leg_base() { isa_suite base; }
leg_avx2() { isa_suite avx2; }
leg_avx512() { isa_suite avx512; }
leg_neon() { sh tests/neon.sh; }
leg_instructions() { sh tests/instructions.sh; }

# ---- checkers of sources --------------------------------------------------------------------------

leg_tidy() {
    need_build_tools
    need_clang
    need clang-tidy have run-clang-tidy
    install_missing
    cmake --preset release -B build/tidy -D CMAKE_C_COMPILER=clang # no tests
    run-clang-tidy -quiet -p build/tidy
}

# Not for uninitialized variables: it takes a parameter or an array that is written for one that is read.
leg_cppcheck() {
    need_build_tools
    need cppcheck have cppcheck
    install_missing
    cmake --preset release # no tests
    cppcheck -q -j "$(nproc)" --project=build/release/compile_commands.json --std=c11 --inline-suppr --error-exitcode=1 \
        --enable=warning,performance,portability --suppress=uninitvar --suppress=legacyUninitvar --suppress=ctuuninitvar
}

leg_analyzer() {
    need_tests
    install_missing
    build analyzer build/analyzer
}

# ---- coverage, reproducible builds ----------------------------------------------------------------

# Lines are those of every build of a source together: a line of a kernel counts when one instruction set runs it.
# Branches are counted once for every copy that the compiler makes by inlining, of which most have constant conditions,
# so src/kernel and train/real, which inline with constants for every instruction set and row of a table, are left out
# of the number of branches. Not run is test_cli_memory: libgcov itself ends without memory.
leg_coverage() {
    need_tests
    need python3-venv python3 -c 'import ensurepip, venv'
    install_missing
    gcovr=build/coverage-venv/bin/gcovr # Debian 12's 5.2 stops at a header's function in two units
    [ -x "$gcovr" ] || { python3 -m venv build/coverage-venv && build/coverage-venv/bin/pip install -q gcovr==7.2; }
    build coverage build/coverage
    find build/coverage -name '*.gcda' -delete
    GCOV_ERROR_FILE=/dev/null ctest --test-dir build/coverage --output-on-failure -j "$(nproc)" \
        -E 'packaging_|test_cli_memory' >build/coverage/ctest.log || { tail -n 30 build/coverage/ctest.log; return 1; }
    # Counters of threads may end below 0 where gcov infers one from others.
    "$gcovr" --root . --filter src/ --filter train/ --filter io/ --exclude-directories '.*CompilerIdC' \
        --merge-mode-functions=merge-use-line-min --gcov-ignore-parse-errors=negative_hits.warn \
        --exclude-unreachable-branches --txt build/coverage/report.txt --json build/coverage/report.json \
        build/coverage/CMakeFiles 2>build/coverage/gcovr.log || { cat build/coverage/gcovr.log; return 1; }
    echo "== lines"
    "$gcovr" --root . --add-tracefile build/coverage/report.json --json-summary build/coverage/summary.json \
        --print-summary --fail-under-line 95
    echo "== branches, without src/kernel and train/real"
    "$gcovr" --root . --add-tracefile build/coverage/report.json --exclude src/kernel/ --exclude train/real/ \
        --json-summary build/coverage/branches.json --print-summary --fail-under-branch 85
    python3 tests/uncovered.py build/coverage/report.json
}

leg_reproducible() {
    need_build_tools
    install_missing
    rm -rf build/twice
    for place in one another/and/deeper; do
        mkdir -p "build/twice/$place/source"
        git ls-files -z | tar --null -T - -cf - | tar -xf - -C "build/twice/$place/source"
        (
            cd "build/twice/$place/source"
            build release build/release >/dev/null
            cmake --install build/release --prefix "$PWD/../installed" >/dev/null
        )
    done
    one=build/twice/one/installed another=build/twice/another/and/deeper/installed
    # Where the data is, which the command knows, is part of the build: the same for both.
    diff -r "$one" "$another"
    find "$one" -type f | wc -l | sed 's/$/ installed files, the same bytes/'
}

# ---- longer runs ----------------------------------------------------------------------------------

leg_long() {
    need_tests
    install_missing
    build long build/test
    CONVT_BITS_CONFIGS=500 CONVT_GRADCHECK_CONFIGS=1000 CONVT_MALLOC_STEPS=1000000 CONVT_HUGE=1 \
        ctest --test-dir build/test --output-on-failure -j 1 --no-tests=error \
        -R 'test_(bits|gradcheck_layer|cli_memory|huge)'
}

# ---- main -----------------------------------------------------------------------------------------

names=$(printf '%s\n' "$legs" | awk 'NF { print $1 }')
case ${1-} in
--list)
    printf '%s\n' "$legs" | sed '/^$/d'
    exit 0
    ;;
--one) # a leg as a program of its own: within an `if`, set -e would be out of force
    "leg_$(echo "$2" | tr - _)"
    exit 0
    ;;
esac
# shellcheck disable=SC2086  # a list of names
[ $# -gt 0 ] || set -- $names
for leg; do
    printf '%s\n' "$names" | grep -qx -e "$leg" || {
        echo "there is no leg \"$leg\", see sh tests/tools.sh --list" >&2
        exit 2
    }
done

failed=
for leg; do
    echo "==== $leg"
    begin=$(date +%s)
    if sh tests/tools.sh --one "$leg"; then
        echo "==== $leg: good, $(($(date +%s) - begin)) s"
    else
        echo "==== $leg: FAILED, $(($(date +%s) - begin)) s"
        failed="$failed $leg"
    fi
done
[ -z "$failed" ] || {
    echo "failed:$failed"
    exit 1
}
