# The install tree and its CMake package; in a wheel only what runs, inside of the Python package.
if(SKBUILD)
  install(TARGETS wkv_kernels wkv_ops wkv LIBRARY DESTINATION wkv/lib)
  install(FILES ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/torch_version.txt DESTINATION wkv/lib)
  install(TARGETS wkv_cli RUNTIME DESTINATION wkv/bin)
  install(PROGRAMS scripts/wheel_program.py DESTINATION ${SKBUILD_SCRIPTS_DIR} RENAME wkv)
  return()
endif()

include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/wkv)
set_target_properties(wkv_kernels PROPERTIES EXPORT_NAME kernels)
set_target_properties(wkv_ops PROPERTIES EXPORT_NAME ops)
install(TARGETS wkv_kernels wkv_ops wkv EXPORT wkvTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS wkv_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY extension/include/ models/include/ zoo/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT wkvTargets NAMESPACE wkv:: DESTINATION ${package_dir})

string(REGEX MATCH "^[0-9]+\\.[0-9]+" torch_series ${LibTorch_VERSION})
configure_file(${CMAKE_CURRENT_LIST_DIR}/wkvConfig.cmake.in ${PROJECT_BINARY_DIR}/wkvConfig.cmake @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/wkvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/wkvConfig.cmake ${PROJECT_BINARY_DIR}/wkvConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/FindLibTorch.cmake DESTINATION ${package_dir})
