#include "fuzz_parser.h"
#include "io/pth_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return wkv::fuzz::parse(
      data, size, [](auto bytes, const auto& owner, const char* path) { return wkv::zoo::parse_pth(bytes, owner, path); });
}
