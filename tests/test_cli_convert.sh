#!/bin/sh
# convt convert, info, predict and train on models of every format that the build has.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
fits=$source_dir/tests/data/fits

# The formats of this build; what is left out is refused by the option that left it out.
formats="npz"
for suffix in keras safetensors onnx; do
    "$convt" convert nothing.npz probe.$suffix 2>err
    if grep -q "without that format" err; then
        echo "skipped: .$suffix is not built"
    else
        formats="$formats $suffix"
    fi
done

# ---- a whole decoder through every pair of formats ----
cat >decoder.json <<'JSON'
{"class_name": "Sequential", "module": "keras", "registered_name": null, "config": {"name": "decoder", "layers": [
 {"class_name": "InputLayer", "module": "keras.layers", "registered_name": null, "config": {"batch_shape": [null, 4], "dtype": "float32", "name": "code"}},
 {"class_name": "Dense", "module": "keras.layers", "registered_name": null, "config": {"name": "spread", "units": 24, "activation": "relu"}},
 {"class_name": "Reshape", "module": "keras.layers", "registered_name": null, "config": {"name": "map", "target_shape": [2, 2, 6]}},
 {"class_name": "Conv2DTranspose", "module": "keras.layers", "registered_name": null, "config": {"name": "up", "filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"}},
 {"class_name": "LeakyReLU", "module": "keras.layers", "registered_name": null, "config": {"name": "bend", "negative_slope": 0.25}},
 {"class_name": "Conv2D", "module": "keras.layers", "registered_name": null, "config": {"name": "last", "filters": 1, "kernel_size": 3, "padding": "same", "activation": "sigmoid"}}]}}
JSON
floats() { # COUNT: numbers 0, 0.5, ... as little-endian float32
    for i in $(seq 1 "$1"); do
        case $((i % 4)) in
        0) printf '\000\000\000\000' ;;
        1) printf '\000\000\000\077' ;;
        2) printf '\000\000\200\277' ;;
        3) printf '\000\000\000\100' ;;
        esac
    done
}
npy x.npy '<f4' '(6, 4)'
floats 24 >>x.npy
npy y.npy '<f4' '(6, 4, 4, 1)'
for i in $(seq 1 96); do printf '\000\000\000\077'; done >>y.npy
expect 0 "$convt" train --model decoder.json --x x.npy --y y.npy --epochs 2 --batch-size 4 --out run --quiet
exists run/model.npz
expect 0 "$convt" predict --model run/model.npz --in x.npy --out expected.npy
head -c 128 expected.npy | grep -q "(6, 4, 4, 1)" || wrong "another shape: $(head -c 128 expected.npy)"
for from in $formats; do
    expect 0 "$convt" convert run/model.npz "from.$from"
    expect 0 "$convt" predict --model "from.$from" --in x.npy --out "from_$from.npy"
    same expected.npy "from_$from.npy"
    for to in $formats; do
        expect 0 "$convt" convert "from.$from" "to.$to"
        expect 0 "$convt" predict --model "to.$to" --in x.npy --out to.npy
        same expected.npy to.npy
    done
    expect 0 "$convt" info "from.$from"
    grep -q "Dense" out && grep -q "Conv2DTranspose" out || wrong "info of from.$from: $(cat out)"
    expect 0 "$convt" train --model "from.$from" --x x.npy --y y.npy --epochs 1 --batch-size 4 --seed 3 --out "run_$from" --quiet
    same run_npz/history.csv "run_$from/history.csv"
done

# The layers come back as they were read, whatever was in between.
expect 0 "$convt" convert run json.json
expect 0 "$convt" convert to.npz again.json
expect 0 "$convt" convert from.npz back.json
same json.json back.json

# ---- every class and activation that ONNX has words for: there and back, the same numbers ----
layer() { # NAME CLASS [MEMBERS]
    printf ',\n {"class_name": "%s", "module": "keras.layers", "registered_name": null, "config": {"name": "%s"%s}}' \
        "$2" "$1" "${3:+, $3}"
}
chain() { # NAME OUTPUT-SHAPE COUNT LAYERS: trains them a step, then compares files of ONNX with the model
    { sed -n '1,2{s/}},$/}}/;p}' decoder.json && printf '%s]}}\n' "$4"; } >"$1.json"
    npy "$1_y.npy" '<f4' "(6, $2)"
    floats $((6 * $3)) >>"$1_y.npy"
    rm -rf there.onnx back.npz
    expect 0 "$convt" train --model "$1.json" --x x.npy --y "$1_y.npy" --epochs 1 --batch-size 4 --out "run_$1" --quiet
    expect 0 "$convt" predict --model "run_$1/model.npz" --in x.npy --out want.npy
    expect 0 "$convt" convert "run_$1/model.npz" there.onnx
    expect 0 "$convt" predict --model there.onnx --in x.npy --out there.npy
    same want.npy there.npy
    expect 0 "$convt" convert there.onnx back.npz
    expect 0 "$convt" predict --model back.npz --in x.npy --out back.npy
    same want.npy back.npy
}
case $formats in
*onnx*)
    dense=$(layer spread Dense '"units": 24') map=$(layer map Reshape '"target_shape": [2, 2, 6]')
    last=$(layer last Conv2D '"filters": 1, "kernel_size": 3, "padding": "same"')
    chain scaled '24' 24 "$(layer scale Rescaling '"scale": 0.5, "offset": 0.25')$dense"
    chain sides '3, 4, 1' 12 "$dense$map$(layer up UpSampling2D '"size": 2')$(
        layer pad ZeroPadding2D '"padding": [[1, 0], [0, 2]]')$(layer crop Cropping2D '"cropping": [[1, 1], [2, 0]]')$last"
    chain rows '2, 2, 3' 12 "$dense$map$(layer mix Dense '"units": 3')"
    chain flat '3' 3 "$dense$map$(layer flat Flatten)$(layer end Dense '"units": 3, "use_bias": false')"
    chain capped '24' 24 "$dense$(layer cap ReLU '"max_value": 2.0')"
    for name in elu selu celu relu6 softplus softsign exponential hard_sigmoid log_sigmoid sparse_sigmoid silu hard_silu \
        mish gelu hard_tanh tanh_shrink soft_shrink hard_shrink softmax log_softmax; do
        chain "$name" '24' 24 "$dense$(layer bend Activation "\"activation\": \"$name\"")"
    done
    refused 2 "needs the weights" convert decoder.json never.onnx
    absent never.onnx
    ;;
esac

# ---- weights alone ----
case $formats in
*keras*)
    expect 0 "$convt" convert run/model.npz w.weights.h5
    refused 1 "weights alone" convert w.weights.h5 w.npz
    absent w.npz
    expect 0 "$convt" convert w.weights.h5 w.npz --model decoder.json
    expect 0 "$convt" predict --model w.npz --in x.npy --out w.npy
    same expected.npy w.npy
    expect 0 "$convt" info w.weights.h5 --model decoder.json
    # What Keras saved, as a Functional model.
    expect 0 "$convt" convert "$fits/functional/model.keras" functional.npz
    expect 0 "$convt" predict --model functional.npz --in "$fits/functional/x.npy" --out a.npy
    expect 0 "$convt" predict --model "$fits/functional/model.keras" --in "$fits/functional/x.npy" --out b.npy
    same a.npy b.npy
    ;;
esac

# ---- what cannot be done ----
refused 2 "suffix" convert run/model.npz out.txt
refused 2 "OUT.*missing" convert run/model.npz
refused 1 "nothing.keras" convert nothing.keras out.npz
printf 'no model at all' >text.keras
refused 1 "is no model" convert text.keras out.npz
head -c 200 from.npz >cut.npz
refused 1 "cut.npz" convert cut.npz out.npz
absent out.txt out.npz
sed 's/"units": 24/"units": 25/' decoder.json >wrong.json
refused 2 "map" predict --model wrong.json --in x.npy --out out.npy
sed 's/"Conv2D", /"MaxPooling2D", /; s/"filters": 1, "kernel_size": 3, //' decoder.json >pool.json
refused 2 "MaxPooling2D" info pool.json
npy rank4.npy '<f4' '(1, 1, 1, 4)'
floats 4 >>rank4.npy
refused 2 "rank 4, the model takes rank 2" predict --model run/model.npz --in rank4.npy --out out.npy
sed 's/"LeakyReLU", /"Dropout", /; s/"negative_slope": 0.25/"rate": 0.5/' decoder.json >dropout.json
expect 0 "$convt" predict --model dropout.json --in x.npy --out dropout.npy
refused 2 "bend" train --model dropout.json --x x.npy --y y.npy --out never --quiet
absent never out.npy
finish
