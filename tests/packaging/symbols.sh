#!/bin/sh
# symbols.sh LIBCONVT.so "ARCHIVE.a..." KERNEL_OBJECT...: what the compiler's output exports, needs and keeps.
set -u
library=$1 archives=$2
shift 2
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

# No global state: nothing in the libraries that could be written to, but the lock of HDF5, whose own state is one
# for the whole process. Constants with pointers, which the loader fills in and then protects, are .data.rel.ro.
for archive in $archives; do
    [ -s "$archive" ] || fail "$archive is not there"
    mutable=$(size -A "$archive" | awk '/\(ex / { object = $1 }
        object != "hdf5_file.c.o" && $1 ~ /^\.(data|bss|tdata|tbss)/ && $1 !~ /^\.data\.rel\.ro/ && $2 > 0 { print object, $1, $2 }')
    [ -z "$mutable" ] || fail "$archive has mutable data: $mutable"
done

# Quiet: no printing, no ending of the program, no other process, no network, no signal handler; the environment is
# read for CONVT_ISA, and for the date in a .keras file (SOURCE_DATE_EPOCH). (Assertions of debug builds end the program, but in debug builds alone.)
never='printf|fprintf|vprintf|vfprintf|puts|putchar|perror|stdout|stderr|abort|exit|_exit|quick_exit|fork|system|popen'
never="$never|exec[lv].*|posix_spawn.*|socket|connect|bind|getaddrinfo|gethostby.*|dlopen|signal|sigaction|setenv|putenv"
for archive in $archives; do
    heard=$(nm -u "$archive" 2>/dev/null | awk '$1 == "U" { print $2 }' | grep -x -E -e "(__)?($never)(_chk)?" | sort -u)
    [ -z "$heard" ] || fail "$archive calls $heard"
done
readers=$(nm -A -u $archives | awk '$NF == "getenv" || $NF == "secure_getenv" { print $1 }' | sed 's/.*\.a:\(.*\):$/\1/' |
    grep -v -x keras.c.o)
[ "$readers" = layer.c.o ] || fail "the environment is read by '$readers', not by layer.c alone (CONVT_ISA)"

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
