// Zip archives as torch.save writes them: nothing is compressed, and data begin at multiples of 64, so that a mapping
// of the file serves as tensors.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "io/atomic_file.h"
#include "wkv/export.h"

namespace wkv::zoo {

class ZipWriter {
 public:
  static constexpr uint64_t kZip64From = 0xFFFFFFFF;

  // Sizes and offsets from zip64_from on are written with 64 bits (tests lower it).
  explicit ZipWriter(AtomicFile& file, uint64_t zip64_from = kZip64From) : file_(file), zip64_from_(zip64_from) {}

  WKV_API void add(const std::string& name, std::span<const std::byte> data);
  WKV_API void finish();  // once, at the end; the file is then to be committed

 private:
  // 32 bits of a size or an offset; all of them set where zip64's field has it.
  uint32_t narrow(uint64_t value) const {
    return static_cast<uint32_t>(value < zip64_from_ ? value : uint64_t{0xFFFFFFFF});
  }
  void write(std::span<const std::byte> bytes);
  void write(const std::string& text) { write(std::as_bytes(std::span(text))); }

  AtomicFile& file_;
  const uint64_t zip64_from_;
  uint64_t offset_ = 0, entries_ = 0;
  std::string directory_;
};

}  // namespace wkv::zoo
