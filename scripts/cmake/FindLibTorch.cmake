# Finds PyTorch's C++ libraries without PyTorch's own CMake package (which searches a CUDA toolkit and fails without one).
#
# Input:   WKV_TORCH_ROOT, the folder `torch` of an installation; unset: asked of the Python interpreter Python_EXECUTABLE (default python3).
# Targets: LibTorch::headers (include folders, SYSTEM), LibTorch::torch_cpu (libtorch_cpu and libc10).
# Output:  LibTorch_VERSION, LibTorch_CUDA_MAJOR (empty: built without CUDA), LibTorch_LIBRARY_DIR.
if(NOT WKV_TORCH_ROOT)
  if(NOT Python_EXECUTABLE)
    set(Python_EXECUTABLE python3)
  endif()
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE _torch_root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(WKV_TORCH_ROOT "${_torch_root}" CACHE PATH "The folder `torch` of a PyTorch installation" FORCE)
endif()

if(WKV_TORCH_ROOT AND EXISTS "${WKV_TORCH_ROOT}/version.py")
  file(STRINGS "${WKV_TORCH_ROOT}/version.py" _version_line REGEX "^__version__")
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" LibTorch_VERSION "${_version_line}")
  file(STRINGS "${WKV_TORCH_ROOT}/version.py" _cuda_line REGEX "^cuda[: ]")
  string(REGEX MATCH "'([0-9]+)\\." _cuda_line "${_cuda_line}")
  set(LibTorch_CUDA_MAJOR ${CMAKE_MATCH_1})
elseif(WKV_TORCH_ROOT AND EXISTS "${WKV_TORCH_ROOT}/build-version")  # the stand-alone LibTorch archive
  file(READ "${WKV_TORCH_ROOT}/build-version" _version_line)
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" LibTorch_VERSION "${_version_line}")
  string(REGEX MATCH "[+]cu([0-9]+)[0-9]" _cuda_line "${_version_line}")
  set(LibTorch_CUDA_MAJOR ${CMAKE_MATCH_1})
endif()

find_library(LibTorch_C10 c10 PATHS "${WKV_TORCH_ROOT}/lib" NO_DEFAULT_PATH)
find_library(LibTorch_CPU torch_cpu PATHS "${WKV_TORCH_ROOT}/lib" NO_DEFAULT_PATH)
mark_as_advanced(LibTorch_C10 LibTorch_CPU)
set(LibTorch_LIBRARY_DIR "${WKV_TORCH_ROOT}/lib")

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_CPU LibTorch_C10 WKV_TORCH_ROOT
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "set WKV_TORCH_ROOT to the folder `torch` of PyTorch 2.10 or newer (pip install torch==2.11.0)")

if(LibTorch_FOUND AND NOT TARGET LibTorch::torch_cpu)
  add_library(LibTorch::headers INTERFACE IMPORTED)
  target_include_directories(LibTorch::headers SYSTEM INTERFACE
    "${WKV_TORCH_ROOT}/include" "${WKV_TORCH_ROOT}/include/torch/csrc/api/include")
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION "${LibTorch_C10}" IMPORTED_NO_SONAME ON)
  add_library(LibTorch::torch_cpu SHARED IMPORTED)
  set_target_properties(LibTorch::torch_cpu PROPERTIES IMPORTED_LOCATION "${LibTorch_CPU}" IMPORTED_NO_SONAME OFF)
  target_link_libraries(LibTorch::torch_cpu INTERFACE LibTorch::headers LibTorch::c10)
  # The CUDA wheels carry libraries that only a machine with a GPU can resolve; nothing of ours refers to them.
  target_link_options(LibTorch::torch_cpu INTERFACE -Wl,--allow-shlib-undefined)
endif()
