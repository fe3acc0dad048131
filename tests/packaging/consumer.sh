#!/bin/sh
# consumer.sh CMAKE BUILD_FOLDER: installs the build into a fresh prefix and uses it from outside, by
# CMake and by pkg-config, shared and static. CONVT_SOURCE_DIR is the repository.
set -eu
cmake=$1
build=$(cd "$2" && pwd)
source=$(cd "$CONVT_SOURCE_DIR" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" # whatever folder this was called from stays as it is
prefix=$scratch/prefix
"$cmake" --install "$build" --prefix "$prefix" >install.log || { cat install.log; exit 1; }

echo "== find_package(convt)"
cp -r "$source/tests/consumer" cmake
"$cmake" -S cmake -B cmake/build -DCMAKE_PREFIX_PATH="$prefix" >cmake.log
"$cmake" --build cmake/build >>cmake.log || { cat cmake.log; exit 1; }
for kind in shared static io_shared io_static; do
    echo "-- $kind"
    cmake/build/consumer_$kind
done
ldd cmake/build/consumer_shared | grep -q "$prefix/.*libconvt.so"
if ldd cmake/build/consumer_io_static | grep libconvt; then exit 1; fi

echo "== pkg-config"
cp -r "$source/tests/consumer" make
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name convt.pc)") make -C make check

# From a folder that holds no examples/data: the installed images must be found, wherever the prefix is.
echo "== the installed command"
mkdir away
cd away
"$prefix/bin/convt" --version
"$prefix/bin/convt" train --epochs 1 --quiet --out run
test -s run/model.npz
