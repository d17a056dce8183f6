#include "fuzz_image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return wkv::fuzz::use_image({reinterpret_cast<const char*>(data), size});
}
