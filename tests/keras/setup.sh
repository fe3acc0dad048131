# Sourced by run.sh and files.sh, from the repository's top: builds, and installs what Keras says it with.
# shellcheck shell=sh
# Gives build_folder ($CONVT_BUILD, or the preset ci), python ($CONVT_KERAS_VENV's, or build/keras-venv's) and a folder work.
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
