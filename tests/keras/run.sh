#!/bin/sh
# Checks fresh random cases against real Keras (JAX) and PyTorch. From any directory:
#
#   sh tests/keras/run.sh [COUNT [SEED]]     COUNT cases (1000), from SEED (the clock)
#
# Installs Keras, JAX and PyTorch into build/keras-venv, or uses $CONVT_KERAS_VENV if that is set; builds the preset ci
# (build/test, or uses $CONVT_BUILD as it is); exits 0 only if every case agrees.
set -eu
cd "$(dirname "$0")/../.."
count=${1-1000}
seed=${2-$(date +%s)}
case "$count$seed" in
*[!0-9]*)
    echo "usage: sh tests/keras/run.sh [COUNT [SEED]]" >&2
    exit 2
    ;;
esac
# shellcheck source=tests/keras/setup.sh
. tests/keras/setup.sh
mkdir "$work/cases" "$work/written"

# Of every 20 cases 16 are layers, 2 losses, 1 a schedule, 1 a layer of PyTorch.
echo "$count cases from seed $seed"
loss=$((count / 10)) schedule=$((count / 20)) torch=$((count / 20))
"$python" tests/keras/generate.py "$work/cases" --seed "$seed" --jobs "$(nproc)" \
    --layer $((count - loss - schedule - torch)) --loss "$loss" --schedule "$schedule" --torch "$torch"

failed=
"$build_folder/tests/test_keras" "$work/cases" || failed=yes
"$build_folder/tests/test_keras_command" "$work/cases" || failed=yes
"$build_folder/tests/keras_rewrite" "$work/cases" "$work/written" >"$work/log" 2>&1 || {
    cat "$work/log"
    failed=yes
}
"$python" tests/keras/roundtrip.py "$work/cases" "$work/written" || failed=yes
"$python" tests/keras/fits.py "$build_folder/convt" --count $(((count + 49) / 50)) --seed "$seed" || failed=yes

if [ -n "$failed" ]; then
    kept=build/keras-differences
    mkdir -p build
    rm -rf "$kept"
    cp -r "$work/cases" "$kept"
    echo "something differs (seed $seed); the cases are in $kept"
    exit 1
fi
echo "all cases of seed $seed agree"
