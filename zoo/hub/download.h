// One file, from a URL to its place on the disk: resumed, tried again, verified.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "hub/http.h"

namespace wkv::zoo {

struct Download {
  std::string url = {};
  std::filesystem::path target = {};       // in a folder that exists; under a lock
  std::optional<int64_t> size = {};        // what is known of the file; none: what the answer says
  std::string sha256 = {}, git_sha1 = {};  // empty: unknown; one of the three must be known, or be said by the answer
  std::chrono::duration<double> retry_delay = {};
  std::function<void(int64_t done, std::optional<int64_t> total)> progress = {};
};

// The target appears when it is whole, verified and on the disk. Until then, and after any failure but a wrong
// checksum, what came is kept beside it, and the next call goes on from there. Throws wkv::Error.
void download(Http& http, const Download& file);

}  // namespace wkv::zoo
