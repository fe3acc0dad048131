# Flags of every unit of this project. They stay inside: nothing here reaches an installed target.
add_library(convt_options INTERFACE)
target_compile_options(convt_options INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wdouble-promotion
    $<$<BOOL:${CONVT_WERROR}>:-Werror>
    ${OpenMP_C_FLAGS})
target_compile_definitions(convt_options INTERFACE _POSIX_C_SOURCE=200809L)
target_include_directories(convt_options INTERFACE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated)

if(CONVT_SANITIZE)
    set(sanitize -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    target_compile_options(convt_options INTERFACE ${sanitize})
    # Linked into every target, also those of tests and examples that only use the public library.
    add_link_options(${sanitize})
endif()
