// A folder that appears with everything in it or not at all: filled beside its target, flushed, then renamed.
//   AtomicFolder folder("models/mine");
//   write_safetensors(folder.path() / "model.safetensors", tensors);
//   folder.commit();  // without it nothing stays
#pragma once
#include <filesystem>

#include "io/temporary_sibling.h"
#include "wkv/export.h"

namespace wkv::zoo {

// Every member throws wkv::Error: disk_full, not_found (no such folder), invalid_argument (not writable; there is a
// file of that name, or a folder that is not empty).
class AtomicFolder {
 public:
  WKV_API explicit AtomicFolder(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return temporary_.path(); }  // until the commit
  void commit() { temporary_.replace_target(); }                           // once, at the end

 private:
  TemporarySibling temporary_;
};

}  // namespace wkv::zoo
