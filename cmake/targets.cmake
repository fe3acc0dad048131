# convt_objects(name SOURCES glob... [INCLUDES dir...] [DEFINITIONS ...] [OPTIONS flag...]
#               [LIBRARIES target...])
# An object library of what the globs find. Objects are compiled once, position-independent, and go
# into the static and the shared library alike.
function(convt_objects name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;INCLUDES;DEFINITIONS;OPTIONS;LIBRARIES")
    file(GLOB sources CONFIGURE_DEPENDS ${arg_SOURCES})
    add_library(${name} OBJECT ${sources})
    target_link_libraries(${name} PRIVATE convt_options ${arg_LIBRARIES})
    target_include_directories(${name} PRIVATE ${arg_INCLUDES})
    target_compile_definitions(${name} PRIVATE ${arg_DEFINITIONS})
    target_compile_options(${name} PRIVATE ${arg_OPTIONS})
endfunction()

# convt_library(name OBJECTS target...)
# lib<name>.so as target <name>, lib<name>.a as target <name>_static.
function(convt_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "OBJECTS")
    # docs/abi.md: before 1.0.0 every minor version may break what was built against another.
    set(abi ${PROJECT_VERSION_MAJOR})
    if(abi EQUAL 0)
        set(abi 0.${PROJECT_VERSION_MINOR})
    endif()
    list(TRANSFORM arg_OBJECTS REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
    add_library(${name} SHARED ${objects})
    add_library(${name}_static STATIC ${objects})
    set_target_properties(${name} PROPERTIES
        VERSION ${PROJECT_VERSION} SOVERSION ${abi})
    set_target_properties(${name}_static PROPERTIES OUTPUT_NAME ${name})
    foreach(library ${name} ${name}_static)
        set_target_properties(${library} PROPERTIES LINKER_LANGUAGE C)
        target_include_directories(${library} INTERFACE
            $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    endforeach()
endfunction()

# convt_program(name source [INCLUDES dir...] [DEFINITIONS ...] [LIBRARIES target...])
function(convt_program name source)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "INCLUDES;DEFINITIONS;LIBRARIES")
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE convt_options ${arg_LIBRARIES})
    target_include_directories(${name} PRIVATE ${arg_INCLUDES})
    target_compile_definitions(${name} PRIVATE ${arg_DEFINITIONS})
endfunction()
