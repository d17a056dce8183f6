// A whole file in memory, privately: pages come in when touched, and writing to them never reaches the file.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "wkv/export.h"

namespace wkv::zoo {

class MappedFile : public std::enable_shared_from_this<MappedFile> {
 public:
  // Throws wkv::Error for what is missing, empty, not readable, or not a regular file.
  WKV_API static std::shared_ptr<MappedFile> open(const std::filesystem::path& path);
  WKV_API ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Keeps the file mapped for a user of one part. With the last copy of what it returns, the part's whole pages leave
  // the memory, and with them what was written there: nothing else may use them then.
  WKV_API std::shared_ptr<void> share(std::span<std::byte> part);

  // The part's whole pages leave the memory. They come back from the file when they are touched, without what was
  // written there.
  void drop(std::span<std::byte> part);

  std::span<std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }  // for messages

 private:
  MappedFile(std::span<std::byte> bytes, std::string path) : bytes_(bytes), path_(std::move(path)) {}

  std::span<std::byte> bytes_;
  std::string path_;
};

}  // namespace wkv::zoo
