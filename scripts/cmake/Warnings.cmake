# wkv_warnings(target): the project's warnings, as errors, and its sanitizers where WKV_SANITIZE is on.
function(wkv_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers -Werror)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # a false alarm at "text" + std::string (GCC bug 105651)
  endif()
  if(WKV_SANITIZE)
    # g++ 12 takes parts of std::regex for uninitialised when the sanitizers' checks are in between.
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
endfunction()
