# What `cmake --install` lays down: headers, libraries, the command, its data, and a package for
# CMake and one for pkg-config.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/convt DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/convt)

# convt_install(name): libconvt_<name> as convt::<name> and convt::<name>_static. The static one is a set of its
# own: only who links it needs what it is made with for development.
function(convt_install name)
    set_target_properties(convt_${name} PROPERTIES EXPORT_NAME ${name})
    set_target_properties(convt_${name}_static PROPERTIES EXPORT_NAME ${name}_static)
    install(TARGETS convt_${name} EXPORT convt_targets)
    install(TARGETS convt_${name}_static EXPORT convt_${name}_static_targets)
    install(EXPORT convt_${name}_static_targets NAMESPACE convt:: FILE convt-${name}-static-targets.cmake
        DESTINATION ${package_dir})
endfunction()

install(TARGETS convt convt_static EXPORT convt_targets)
set(pc_files convt.pc)
if(CONVT_IO)
    convt_install(io)
    install(TARGETS convt-cli)
    install(DIRECTORY examples/data/ DESTINATION ${CMAKE_INSTALL_DATADIR}/convt
        PATTERN "*.sh" EXCLUDE)
    list(APPEND pc_files convt_io.pc)
endif()
if(CONVT_WITH_MPI)
    convt_install(mpi)
    list(APPEND pc_files convt_mpi.pc)
endif()

install(EXPORT convt_targets NAMESPACE convt:: FILE convt-targets.cmake DESTINATION ${package_dir})
configure_package_config_file(cmake/convt-config.cmake.in convt-config.cmake
    INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(convt-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/convt-config.cmake
    ${PROJECT_BINARY_DIR}/convt-config-version.cmake DESTINATION ${package_dir})

# The prefix relative to the .pc file, so that an installed tree may be moved.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
    BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE pc_prefix)
foreach(file IN LISTS pc_files)
    configure_file(cmake/${file}.in ${file} @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${file} DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
