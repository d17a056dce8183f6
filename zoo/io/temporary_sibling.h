// Where a file or a folder is written until it takes its target's place: a name beside the target, locked while its
// writer lives. So the next writer of the target tells what a killed one has left, and removes it.
#pragma once
#include <filesystem>

#include "wkv/export.h"

namespace wkv::zoo {

class TemporarySibling {
 public:
  enum class Kind { file, folder };
  // Throws wkv::Error, as everything here: disk_full, not_found (no such folder), invalid_argument (not writable).
  TemporarySibling(std::filesystem::path target, Kind kind);
  WKV_API ~TemporarySibling();  // removes what has not taken the target's place
  TemporarySibling(const TemporarySibling&) = delete;
  TemporarySibling& operator=(const TemporarySibling&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::filesystem::path& target() const { return target_; }
  int descriptor() const { return descriptor_; }
  WKV_API void replace_target();  // once, at the end; the disk has it then

  // Of errno, after a system call that failed: "<target>: cannot <action> the file: ...".
  [[noreturn]] void fail(const char* action) const;

 private:
  bool create();  // false: the name is taken
  void remove() const;

  std::filesystem::path target_, path_;
  Kind kind_;
  int descriptor_ = -1;
};

}  // namespace wkv::zoo
