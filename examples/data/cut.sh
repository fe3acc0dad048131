#!/bin/sh
# Cuts the first 2,000 training images of Fashion-MNIST, and their labels, into the two files beside
# this script. The same bytes on every run: gzip -n writes neither name nor time.
#
#   sh examples/data/cut.sh [FOLDER]     FOLDER holds the full set's .gz files; the default is where
#                                        Debian's package dataset-fashion-mnist puts them
set -eu
from=${1:-/usr/share/datasets/fashion-mnist}
here=$(cd "$(dirname "$0")" && pwd)

# cut_idx NAME HEADER_BYTES ITEM_BYTES: an IDX file is a magic of 4 bytes, the number of items (4 bytes,
# big endian), more sizes, then the items. Only the number changes: 2000 is 0x000007d0.
cut_idx() {
    zcat "$from/train-$1-ubyte.gz" | head -c $(($2 + 2000 * $3)) >"$here/$1.tmp"
    {
        head -c 4 "$here/$1.tmp"
        printf '\000\000\007\320'
        tail -c +9 "$here/$1.tmp"
    } | gzip -9n >"$here/$1.gz.tmp"
    rm "$here/$1.tmp"
    mv "$here/$1.gz.tmp" "$here/train-${1%%-*}-2000-${1#*-}-ubyte.gz"
}

cut_idx images-idx3 16 $((28 * 28))
cut_idx labels-idx1 8 1
