#!/bin/sh
# convt and what one would use instead, in turn on the same layers, the same training step, the same training run.
#
#     sh bench/peers.sh [--quick] [--rounds N] [--threads N] [--only NAME,...] [--out FOLDER] [layers] [random] [step] [train]
#
# Without names of parts all of them: about 20 minutes on two cores. Writes performance.json, the tables of performance.md
# and images/performance.svg in FOLDER (docs); a part that is not measured keeps what is there. --quick: every part with a
# few layers, one round and two epochs, into build/peers/quick: about 2 minutes.
#
# PyTorch, TensorFlow, Keras, JAX, ONNX Runtime and oneDNN come from the package index into build/peers/venv, in the versions
# of bench/peers/requirements.txt. ONEDNN_ROOT names another oneDNN: a folder with include/ and lib/.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/setup.sh
. tools/setup.sh
need_build_tools
need python3-venv python3 -c 'import venv, ensurepip'
install_missing
build release build/release >/dev/null

folder=build/peers venv=build/peers/venv wanted=bench/peers/requirements.txt
if ! cmp -s "$wanted" "$folder/installed.txt"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$wanted"
    cp "$wanted" "$folder/installed.txt"
fi
onednn=${ONEDNN_ROOT:-$PWD/$venv}
cc -O2 bench/peers/onednn.c -I"$onednn/include" -L"$onednn/lib" -Wl,-rpath,"$onednn/lib" -ldnnl -o "$folder/onednn"
exec "$venv/bin/python" bench/peers/run.py "$@"
