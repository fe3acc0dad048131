# Flags of every unit of this project. They stay inside: nothing here reaches an installed target.
add_library(convt_options INTERFACE)
target_compile_options(convt_options INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla
    # clang takes NAN, which is a float, for a slip wherever a double is wanted.
    $<$<C_COMPILER_ID:GNU>:-Wdouble-promotion>
    # A field that is left out is 0, and that is meant: gcc warns of no designated ones.
    $<$<C_COMPILER_ID:Clang>:-Wno-missing-field-initializers>
    $<$<BOOL:${CONVT_WERROR}>:-Werror>
    ${OpenMP_C_FLAGS})
target_compile_definitions(convt_options INTERFACE _POSIX_C_SOURCE=200809L)
target_include_directories(convt_options INTERFACE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated)

# What is installed is hardened, and has the same bytes wherever it is built. Debug builds keep the paths,
# for debuggers and coverage. Of the folder, not of convt_options, so that a target's own flags come later.
set(release $<CONFIG:Release,RelWithDebInfo,MinSizeRel>)
add_compile_options(
    "$<${release}:-fstack-protector-strong;-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>"
    "$<${release}:-ffile-prefix-map=${PROJECT_SOURCE_DIR}=.>"
    "$<${release}:-ffile-prefix-map=${PROJECT_BINARY_DIR}=.>")
add_link_options("$<${release}:LINKER:-z,relro,-z,now,-z,noexecstack>")
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

# Tests run side by side and use more threads than there are cores: waiting must not spin.
set(CONVT_TEST_ENVIRONMENT OMP_WAIT_POLICY=passive)
set(CONVT_TEST_TIMEOUT 900)
if(CONVT_LONG_TESTS)
    set(CONVT_TEST_TIMEOUT 14400)
endif()

if(CONVT_SANITIZE)
    set(sanitize -fsanitize=${CONVT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(convt_options INTERFACE ${sanitize})
    # Linked into every target, also those of tests and examples that only use the public library.
    add_link_options(${sanitize})
    set(CONVT_TEST_TIMEOUT 3600)
    # Tests ask for more memory than there is and expect NULL, as malloc answers. HDF5 loses some of its
    # own memory where a file is broken, and asks for gigabytes that it does not touch.
    if(CONVT_SANITIZE MATCHES "address")
        list(APPEND CONVT_TEST_ENVIRONMENT
            ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=1:max_allocation_size_mb=4096
            LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/leaks.txt:print_suppressions=0
            UBSAN_OPTIONS=print_stacktrace=1)
    endif()
    # What is not instrumented is the OpenMP runtime; its archer tells ThreadSanitizer where threads
    # wait for one another.
    if(CONVT_SANITIZE MATCHES "thread")
        file(REAL_PATH ${OpenMP_omp_LIBRARY} runtime)
        cmake_path(GET runtime PARENT_PATH runtime_folder)
        find_library(ARCHER archer HINTS ${runtime_folder} REQUIRED)
        list(APPEND CONVT_TEST_ENVIRONMENT OMP_TOOL_LIBRARIES=${ARCHER}
            TSAN_OPTIONS=allocator_may_return_null=1:ignore_noninstrumented_modules=1)
    endif()
endif()
