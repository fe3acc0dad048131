#!/bin/sh
# consumer.sh CMAKE BUILD_FOLDER: installs the build into a fresh prefix and uses it from outside, by
# CMake and by pkg-config, shared and static; convt::mpi where it was built, and mpirun is there.
# CONVT_SOURCE_DIR is the repository.
set -eu
cmake=$1
build=$(cd "$2" && pwd)
source=$(cd "$CONVT_SOURCE_DIR" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" # whatever folder this was called from stays as it is
prefix=$scratch/prefix
mpi=
if grep -q 'CONVT_WITH_MPI:BOOL=ON' "$build/CMakeCache.txt" && command -v mpirun >/dev/null; then mpi=yes; fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
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
for kind in ${mpi:+mpi_shared mpi_static}; do
    echo "-- $kind"
    mpirun --oversubscribe -np 2 cmake/build/consumer_$kind
done
if [ "$mpi" ]; then
    ldd cmake/build/consumer_mpi_shared | grep -q "$prefix/.*libconvt_mpi.so"
    if ldd cmake/build/consumer_mpi_static | grep libconvt; then exit 1; fi
fi

echo "== pkg-config"
cp -r "$source/tests/consumer" make
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name convt.pc)") make -C make check ${mpi:+check_mpi}

# From a folder that holds no examples/data: the installed images must be found, wherever the prefix is.
echo "== the installed command"
mkdir away
cd away
"$prefix/bin/convt" --version
"$prefix/bin/convt" train --epochs 1 --quiet --out run
test -s run/model.npz
