#include "fuzz_parser.h"
#include "io/safetensors_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return wkv::fuzz::parse(data, size, wkv::zoo::parse_safetensors);
}
