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
# shellcheck source=tests/keras/setup.sh
. tests/keras/setup.sh
failed=
"$python" tests/keras/files.py check "$build_folder/tests/keras_repack" || failed=yes
"$python" tests/keras/onnx_models.py "$build_folder/convt" || failed=yes
# The fits of test_decoder_fits, made anew.
"$python" tests/keras/decoder_fits.py "$work/fits" 2>"$work/log" || { cat "$work/log"; failed=yes; }
"$build_folder/tests/test_decoder_fits" "$work/fits" || failed=yes
[ -z "$failed" ] || { echo "some files differ"; exit 1; }
echo "all files agree"
