#include "fuzz_parser.h"
#include "io/pth_reader.h"
#include "mutate_pth.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return wkv::fuzz::parse(data, size, [](auto bytes, const auto& owner, const char* path) {
    return wkv::zoo::parse_pth(bytes, owner, path);
  });
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return wkv::fuzz::mutate_input(data, size, max_size, seed, wkv::fuzz::mutate_pth);
}
