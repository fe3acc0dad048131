#!/bin/sh
# Kills training runs at random moments and at every 7th call of the system, and compares what --resume makes of them with
# a run that was never stopped (tests/test_cli_kill.sh, which the ordinary suite runs with a few). From any directory:
#
#   sh tests/kill.sh [KILLS [SEED]]      default: 100 kills, seed 1
set -eu
cd "$(dirname "$0")/.."
. tools/setup.sh
need_build_tools
need libcmocka-dev pkg-config --exists cmocka
need strace have strace
install_missing
build ci build/test >/dev/null
export CONVT_KILLS="${1:-100}" CONVT_SEED="${2:-1}" CONVT_CALLS="${CONVT_CALLS:-7}"
export CONVT_COMMAND="$PWD/build/test/convt" CONVT_SOURCE_DIR="$PWD"
mkdir -p build/test/tests/run/kill
cd build/test/tests/run/kill
exec sh "$CONVT_SOURCE_DIR/tests/test_cli_kill.sh"
