// One process, and one thread of it, at a time. A lock goes with its process, however that ends.
#pragma once
#include <filesystem>

namespace wkv::zoo {

class FileLock {
 public:
  // Waits for those who hold it; the file stays. Throws wkv::Error where it can't be created, or the file system knows
  // no locks.
  explicit FileLock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace wkv::zoo
