# `cmake --build build/debug --target format` (rewrites), `format-check`, `tidy`: for who has
# clang-format and clang-tidy; no build needs them.
file(GLOB_RECURSE lint_sources CONFIGURE_DEPENDS
    src/*.[ch] train/*.[ch] mpi/*.[ch] io/*.[ch] cli/*.[ch] tests/*.[ch] bench/*.[ch] examples/*.[ch])
file(GLOB lint_headers CONFIGURE_DEPENDS include/convt/*.h)

find_program(CLANG_FORMAT NAMES clang-format)
if(CLANG_FORMAT)
    add_custom_target(format VERBATIM
        COMMAND ${CLANG_FORMAT} -i ${lint_sources} ${lint_headers})
    add_custom_target(format-check VERBATIM
        COMMAND ${CLANG_FORMAT} --dry-run -Werror ${lint_sources} ${lint_headers})
endif()

find_program(RUN_CLANG_TIDY NAMES run-clang-tidy)
if(RUN_CLANG_TIDY)
    # Reads <omp.h> of clang: Debian's libomp-dev.
    add_custom_target(tidy VERBATIM COMMAND ${RUN_CLANG_TIDY} -quiet -p ${PROJECT_BINARY_DIR})
endif()
