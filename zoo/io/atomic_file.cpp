#include "io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/file_system.h"
#include "wkv/error.h"

namespace wkv::zoo {
AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path_, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: cannot be replaced: it is not a regular file", path_.string()));
  // The number tells apart the writers of one process, and skips what a killed process of the same id left.
  for (int number = 0; number < 1000 && descriptor_ < 0; ++number) {
    temporary_ = fmt::format("{}.{}-{}.tmp", path_.string(), ::getpid(), number);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST) break;
  }
  if (descriptor_ < 0) fail("create");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t size) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, bytes, std::min<size_t>(size, size_t{1} << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write");
    bytes += written;
    size -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("write");
  const int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0) fail("write");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("replace");
  temporary_.clear();
  flush_folder(path_.parent_path());
}

void AtomicFile::fail(const char* action) const {
  const int error = errno;
  const ErrorCode code = code_of_errno(error);
  const char* advice =
      code == ErrorCode::disk_full ? "; nothing was changed: free some space, or choose another folder" : "";
  throw Error(code, fmt::format("{}: cannot {} the file: {}{}", path_.string(), action, std::strerror(error), advice));
}

}  // namespace wkv::zoo
