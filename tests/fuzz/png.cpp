// With the checksums put right, which would stop almost every changed file.
#include "fuzz_image.h"
#include "support/image_files.h"

namespace {

std::string with_right_checksums(std::string file) {
  constexpr size_t kSignature = 8, kHead = 8, kChecksum = 4;
  for (size_t at = kSignature; at + kHead + kChecksum <= file.size();) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(file[at + i]);
    if (length > file.size() - at - kHead - kChecksum) break;
    const std::string chunk = wkv::test::png_chunk(file.substr(at + 4, 4), file.substr(at + kHead, length));
    file.replace(at, chunk.size(), chunk);
    at += chunk.size();
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return wkv::fuzz::use_image(with_right_checksums({reinterpret_cast<const char*>(data), size}));
}
