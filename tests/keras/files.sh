#!/bin/sh
# Checks files both ways against the libraries whose formats they are (files.py), models through ONNX
# (onnx_models.py), and fits of whole decoders (decoder_fits.py). From any directory:
#
#   sh tests/keras/files.sh
#
# Installs requirements.txt into build/keras-venv, or uses $CONVT_KERAS_VENV if that is set; builds the preset ci
# (build/test, or uses $CONVT_BUILD as it is); exits 0 only if all files agree.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tools/setup.sh
. tools/setup.sh

build_folder=${CONVT_BUILD-build/test}
if [ -z "${CONVT_BUILD-}" ]; then
    need_build_tools
    need libcmocka-dev pkg-config --exists cmocka
    [ -n "${CONVT_KERAS_VENV-}" ] || need python3-venv python3 -c 'import ensurepip, venv'
    install_missing
    build ci "$build_folder"
fi

venv=${CONVT_KERAS_VENV-build/keras-venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
if [ -z "${CONVT_KERAS_VENV-}" ]; then
    "$venv/bin/pip" install --quiet -r tests/keras/requirements.txt
fi
python=$venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=
"$python" tests/keras/files.py check "$build_folder/tests/keras_repack" || failed=yes
"$python" tests/keras/onnx_models.py "$build_folder/convt" || failed=yes
# The fits of test_decoder_fits, made anew.
"$python" tests/keras/decoder_fits.py "$work/fits" 2>"$work/log" || { cat "$work/log"; failed=yes; }
"$build_folder/tests/test_decoder_fits" "$work/fits" || failed=yes
[ -z "$failed" ] || { echo "some files differ"; exit 1; }
echo "all files agree"
