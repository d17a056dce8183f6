// The checksums that the hub names files by.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "wkv/export.h"

namespace wkv::zoo {

// Of bytes as they come.
class WKV_API Digest {
 public:
  explicit Digest(const char* algorithm);  // "SHA256", "SHA1"
  void update(std::string_view bytes);
  std::string hex() const;  // of everything so far, lower case

 private:
  std::unique_ptr<void, void (*)(void*)> context_;
};

// Throw wkv::Error where the file can't be read.
WKV_API std::string sha256_of_file(const std::filesystem::path& path);
WKV_API std::string git_blob_sha1_of_file(const std::filesystem::path& path);  // git's name for the contents

bool is_lower_hex(std::string_view text, size_t digits);

}  // namespace wkv::zoo
