// The beginning of a file that is not whole yet: it grows, outlives its process, and becomes the file in one step.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "hub/digest.h"

namespace wkv::zoo {

// Under a lock: nobody else may write it meanwhile. Members throw wkv::Error as AtomicFile's; what was written stays.
class PartialFile {
 public:
  // Goes on from what an earlier process left in `target`.incomplete.
  explicit PartialFile(const std::filesystem::path& target);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }
  std::string sha256() const { return digest_.hex(); }  // of all that was written

  void require_space(int64_t bytes) const;  // on the disk, for so many more
  void append(std::string_view bytes);
  void restart();  // empty again
  void commit();   // at the target, on the disk
  void remove();

 private:
  void digest_what_is_there();
  [[noreturn]] void fail(const char* action) const;

  std::filesystem::path target_, path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  Digest digest_{"SHA256"};
};

}  // namespace wkv::zoo
