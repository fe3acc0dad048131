#!/bin/sh
# exports.sh LIBRARY.so LIST [--update]: the symbols that a library exports are those of a list, no more and no
# less: a symbol that goes breaks who uses it, one that comes must be meant. `cmake --build build/test --target
# update-exports` writes the lists anew.
set -eu
library=$1 list=$2
exported() { nm -D --defined-only "$library" | awk '{ print $3 }' | LC_ALL=C sort; }
if [ "${3-}" = --update ]; then
    exported >"$list.new"
    mv "$list.new" "$list"
    exit 0
fi
soname=$(readelf -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
exported | diff "$list" - || { # < gone, > new
    echo "FAIL: $library exports other symbols than $list lists (docs/abi.md)"
    exit 1
}
echo "$soname exports the $(wc -l <"$list") symbols listed"
