#!/bin/sh
# mpirun.sh RANKS PROGRAM: runs a program on so many ranks; 77 where there is no mpirun.
command -v mpirun >/dev/null || { echo "no mpirun"; exit 77; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# OpenMPI leaves memory of its own behind, in modules that it has unloaded when a sanitizer looks.
export ASAN_OPTIONS="${ASAN_OPTIONS-detect_leaks=0}:detect_leaks=0"
exec timeout 300 mpirun --oversubscribe -np "$1" "$2"
