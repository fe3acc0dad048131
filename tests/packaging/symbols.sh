#!/bin/sh
# symbols.sh LIBCONVT.so KERNEL_OBJECT...: what the compiler's output exports and needs.
set -u
library=$1
shift
failed=0
fail() {
    echo "FAIL: $*"
    failed=1
}

# One symbol per kernel object, named as its target (the folder <target>.dir in its path): a second
# one would be an inline function that the linker takes from any row, AVX-512 code on a machine
# without it.
[ $# -gt 0 ] || fail "no kernel objects given"
for object; do
    target=${object##*/CMakeFiles/}
    target=${target%%.dir/*}
    symbols=$(nm --extern-only --defined-only "$object" | awk '{print $3}' | grep -v '^DW\.ref\.' || true)
    [ "$symbols" = "$target" ] || fail "$object defines '$symbols', not only $target"
done

foreign=$(nm -D --defined-only "$library" | awk '{print $3}' | grep -v '^convt_' || true)
[ -z "$foreign" ] || fail "$library exports $foreign"
exported=$(nm -D --defined-only "$library" | grep -c ' convt_')
[ "$exported" -gt 0 ] || fail "$library exports nothing"
leaked=$(nm -D --defined-only "$library" | awk '{print $3}' | grep '^convt_kernels_' || true)
[ -z "$leaked" ] || fail "$library exports private $leaked"

needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
for name in $needed; do
    case $name in
    libm.so.* | libc.so.* | libgomp.so.* | libomp.so.*) ;;
    ld-linux*) ;; # the loader itself, on some processors
    *) fail "$library needs $name" ;;
    esac
done

[ "$failed" -ne 0 ] || printf "%s kernel objects, %s exported functions, needs:\n%s\n" $# "$exported" "$needed"
exit "$failed"
