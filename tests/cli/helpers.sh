# Sourced by tests/test_cli_*.sh: small data, and checks that print what failed. The scripts run in a folder of their own and
# find CONVT_COMMAND and CONVT_SOURCE_DIR in the environment.
# shellcheck shell=sh

convt=${CONVT_COMMAND:?the path of the command}
source_dir=${CONVT_SOURCE_DIR:?the repository}
failures=0
rm -rf work
mkdir work
cd work || exit 1
export OMP_WAIT_POLICY=passive # tests run side by side
unset NO_COLOR

wrong() {
    printf 'FAILED: %s\n' "$*"
    failures=$((failures + 1))
}

# The last line of every script.
finish() {
    [ "$failures" -eq 0 ] || { echo "$failures checks failed"; exit 1; }
    echo "all checks passed"
    exit 0
}

# expect CODE COMMAND...: runs it, keeps stdout in out and stderr in err.
expect() {
    expected=$1
    shift
    "$@" >out 2>err
    code=$?
    [ "$code" -eq "$expected" ] || wrong "exit $code, not $expected: $* ($(head -c 300 err))"
}

# refused CODE PATTERN ARGUMENT...: convt ends with that code, says one line that matches, and nothing on stdout.
refused() {
    expected=$1 pattern=$2
    shift 2
    expect "$expected" "$convt" "$@"
    [ "$(wc -l <err)" -eq 1 ] || wrong "not one line on stderr: convt $*: $(cat err)"
    grep -q '^convt: [^:]*: ' err || wrong "no \"convt: where: what\": convt $*: $(cat err)"
    grep -q -e "$pattern" err || wrong "no \"$pattern\" in: $(cat err) (convt $*)"
    [ ! -s out ] || wrong "something on stdout: convt $*: $(head -c 200 out)"
}

# Whether files may be kept from growing (ulimit -f) and the command still starts: ThreadSanitizer keeps books in files, LLVM's
# OpenMP runtime makes one in shared memory.
may_limit_files() {
    [ -z "${TSAN_OPTIONS-}" ] && ! ldd "$convt" | grep -q 'libomp\.so' && return
    echo "not tried: limited files, which a runtime of this build does not start with"
    false
}

same() {
    cmp -s "$1" "$2" || wrong "$1 and $2 differ"
}

differ() {
    cmp -s "$1" "$2" && wrong "$1 and $2 are the same"
}

exists() {
    for file; do
        [ -s "$file" ] || wrong "$file is missing or empty"
    done
}

absent() {
    for file; do
        [ ! -e "$file" ] || wrong "$file is there"
    done
}

# No temporary of a writer may stay behind.
only() { # DIRECTORY NAME...
    directory=$1
    shift
    for file in "$directory"/* "$directory"/.[!.]*; do
        [ -e "$file" ] || continue
        case " $* " in
        *" ${file##*/} "*) ;;
        *) wrong "$file was left behind" ;;
        esac
    done
}

# byte N: the byte as printf writes it, in octal.
byte() {
    printf '\\%03o' "$1"
}

# idx NAME COUNT SIDE: an IDX file with so many square images, cut from the bytes of the real ones.
idx() {
    {
        printf '\000\000\010\003\000\000\000%b\000\000\000%b\000\000\000%b' "$(byte "$2")" "$(byte "$3")" "$(byte "$3")"
        gzip -dc "$source_dir/examples/data/train-images-2000-idx3-ubyte.gz" | tail -c +17 | head -c $(($2 * $3 * $3))
    } >"$1"
}

# npy NAME DTYPE SHAPE: an .npy header; the data is appended by the caller.
npy() {
    header="{'descr': '$2', 'fortran_order': False, 'shape': $3, }"
    while [ $(((${#header} + 11) % 64)) -ne 0 ]; do header="$header "; done
    printf '\223NUMPY\001\000%b\000%s\n' "$(byte $((${#header} + 1)))" "$header" >"$1"
}

# A decoder from 4 numbers to 8x8 that trains in no time.
tiny_model() {
    cat >tiny.json <<'JSON'
[{"name": "base", "filters": 6, "kernel_size": 4, "activation": "relu"},
 {"name": "up", "filters": 1, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "sigmoid"}]
JSON
}
