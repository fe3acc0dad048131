#!/bin/sh
# Builds convt and trains the default decoder on the images in examples/data; installs what that
# needs (Debian, Ubuntu). Options go to `convt train`: sh examples/quickstart.sh --epochs 5
set -eu
cd "$(dirname "$0")/.."
. tools/setup.sh

need_build_tools
install_missing
build release build/release

build/release/convt train --force "$@"
