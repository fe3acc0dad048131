#!/bin/sh
# Guards speed without a clock: counts the instructions of every pass of some small layers, one thread, AVX2
# (valgrind knows nothing wider), and compares them with tests/data/instructions.tsv, within 3 %.
#
#     sh tests/instructions.sh            fails where a count went up, or so far down that the table is old
#     sh tests/instructions.sh --update   writes the table: after a change that is meant to change it
#
# Counts are those of one compiler; the table's first line names it.
set -eu
cd "$(dirname "$0")/.."
update=
case ${1-} in
"") ;;
--update) update=yes ;;
*)
    echo "usage: sh tests/instructions.sh [--update]" >&2
    exit 2
    ;;
esac
. tools/setup.sh
need_build_tools
need valgrind have valgrind
install_missing
if ! grep -qw avx2 /proc/cpuinfo; then
    echo "SKIPPED: this machine has no AVX2"
    exit 77
fi

build release build/release >/dev/null
work=build/release/instructions
table=tests/data/instructions.tsv
rm -rf "$work"
mkdir -p "$work"
# A dump for each row: what was executed from entering `measured` to leaving it.
CONVT_ISA=avx2 valgrind -q --tool=callgrind --callgrind-out-file="$work/dump" --collect-atstart=no \
    --toggle-collect=measured --zero-before=measured --dump-after=measured \
    build/release/bench_instructions >"$work/names"
i=1
while [ -e "$work/dump.$i" ]; do
    sed -n 's/^totals: //p' "$work/dump.$i"
    i=$((i + 1))
done >"$work/counts"
if [ "$(wc -l <"$work/names")" -ne "$(wc -l <"$work/counts")" ]; then
    echo "$(wc -l <"$work/names") rows, but $(wc -l <"$work/counts") counts" >&2
    exit 1
fi
{
    echo "# layer, pass, dtype, format, instructions; $(gcc --version | head -n 1)"
    paste "$work/names" "$work/counts"
} >"$work/table"

if [ -n "$update" ]; then
    cp "$work/table" "$table"
    echo "$table: $(wc -l <"$work/names") rows written"
    exit 0
fi
[ "$(head -n 1 "$table")" = "$(head -n 1 "$work/table")" ] ||
    echo "note: the table was written with another compiler: $(head -n 1 "$table")"
awk -F '\t' '
    /^#/ { next }
    { key = $1 "  " $2 "  " $3 "  " $4 }
    NR == FNR { stored[key] = $5; next }
    !(key in stored) { printf "%-40s %12d, not in the table\n", key, $5; bad++; next }
    {
        change = 100 * ($5 / stored[key] - 1)
        if (change > 3 || change < -3) { printf "%-40s %12d, was %d: %+.1f %%\n", key, $5, stored[key], change; bad++ }
        delete stored[key]
        rows++
    }
    END {
        for (key in stored) { printf "%-40s is gone\n", key; bad++ }
        printf "%d rows, %d differ by more than 3 %%\n", rows, bad
        exit bad > 0
    }' "$table" "$work/table"
