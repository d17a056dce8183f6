#include "io/atomic_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

const std::filesystem::path& require_replaceable_file(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: cannot be replaced: it is not a regular file", path.string()));
  return path;
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path)
    : temporary_(require_replaceable_file(path), TemporarySibling::Kind::file) {}

void AtomicFile::write(const void* data, size_t size) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(temporary_.descriptor(), bytes, std::min<size_t>(size, size_t{1} << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) temporary_.fail("write");
    bytes += written;
    size -= static_cast<size_t>(written);
  }
}

}  // namespace wkv::zoo
