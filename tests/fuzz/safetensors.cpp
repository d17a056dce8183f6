#include "fuzz_parser.h"
#include "io/safetensors_reader.h"
#include "mutate_safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return wkv::fuzz::parse(data, size, wkv::zoo::parse_safetensors);
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return wkv::fuzz::mutate_input(data, size, max_size, seed, wkv::fuzz::mutate_safetensors);
}
