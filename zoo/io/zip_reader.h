// The zip archives that torch.save writes: stored entries (nothing is compressed), zip64, checksums.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

struct ZipEntry {
  std::string_view name;  // in the mapping
  std::span<std::byte> data;
  uint32_t checksum = 0;
  bool stored = true;  // not compressed
};

// `bytes`, the whole archive, must outlive the reader.
class ZipReader {
 public:
  // Throws wkv::Error (corrupt_file) unless every entry lies inside the file, overlaps no other and has a name of its
  // own; unsupported_format for encrypted entries and for archives in several parts.
  WKV_API ZipReader(std::span<std::byte> bytes, std::string path);

  const std::vector<ZipEntry>& entries() const { return entries_; }  // sorted by name
  WKV_API const ZipEntry* find(std::string_view name) const;         // null when there is none

  // The entries' bytes are what their checksums say. Throws unsupported_format for a compressed entry. `checked` is
  // called on several threads, with the bytes of each.
  WKV_API void check(std::vector<const ZipEntry*> entries,
                     const std::function<void(std::span<std::byte>)>& checked = {}) const;
  // The entry's bytes, checked.
  WKV_API std::span<std::byte> read(const ZipEntry& entry) const;

 private:
  std::string path_;  // for messages
  std::vector<ZipEntry> entries_;
  bool has_checksums_ = false;  // torch can be told to write zeros instead
};

}  // namespace wkv::zoo
