// The zip archives that torch.save writes: stored entries (nothing is compressed), zip64, checksums.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "io/mapped_file.h"
#include "wkv/export.h"

namespace wkv::zoo {

struct ZipEntry {
  std::string_view name;  // in the mapping
  std::span<std::byte> data;
  uint32_t checksum = 0;
};

class ZipReader {
 public:
  // Throws wkv::Error (corrupt_file) unless every entry lies inside the file, overlaps no other and has a name of its
  // own; unsupported_format for compressed and encrypted entries and for archives in several parts.
  WKV_API explicit ZipReader(std::shared_ptr<MappedFile> file);

  const std::vector<ZipEntry>& entries() const { return entries_; }  // sorted by name
  WKV_API const ZipEntry* find(std::string_view name) const;         // null when there is none

  // The entry's bytes, after a check of their checksum.
  WKV_API std::span<std::byte> read(const ZipEntry& entry) const;

 private:
  std::shared_ptr<MappedFile> file_;
  std::vector<ZipEntry> entries_;
  bool has_checksums_ = false;  // torch can be told to write zeros instead
};

}  // namespace wkv::zoo
