// What a request is refused with.
#pragma once
#include <gtest/gtest.h>

#include "serve/api_error.h"

namespace wkv::serve {

template <typename F>
ApiError refusal(F&& f) {
  try {
    f();
  } catch (const ApiError& e) {
    return e;
  }
  ADD_FAILURE() << "nothing was refused";
  return {0, ""};
}

}  // namespace wkv::serve
