// A file that appears whole or not at all: written beside its target, flushed to the disk, then renamed.
//   AtomicFile file("run/state.json");
//   file.write(text);
//   file.commit();  // without it the temporary file goes and the old file stays
#pragma once
#include <cstddef>
#include <filesystem>
#include <string_view>

#include "io/temporary_sibling.h"
#include "wkv/export.h"

namespace wkv::zoo {

// Every member throws wkv::Error: disk_full, not_found (no such folder), invalid_argument (not writable, not a file).
class AtomicFile {
 public:
  WKV_API explicit AtomicFile(const std::filesystem::path& path);

  WKV_API void write(const void* data, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  const std::filesystem::path& path() const { return temporary_.path(); }  // until the commit
  void commit() { temporary_.replace_target(); }                           // once, at the end

 private:
  TemporarySibling temporary_;
};

}  // namespace wkv::zoo
