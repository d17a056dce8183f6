#include "hub/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/file_system.h"

namespace wkv::zoo {
namespace {

// Other programs remove the file when they are done: then the one that was waited for is nobody's lock any more.
bool is_at(int descriptor, const std::filesystem::path& path) {
  struct stat held {
  }, there{};
  return ::fstat(descriptor, &held) == 0 && ::stat(path.c_str(), &there) == 0 && held.st_dev == there.st_dev &&
         held.st_ino == there.st_ino;
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& path) {
  for (;;) {
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int result = descriptor_ < 0 ? -1 : ::flock(descriptor_, LOCK_EX);
    while (descriptor_ >= 0 && result != 0 && errno == EINTR) result = ::flock(descriptor_, LOCK_EX);
    if (result != 0) {
      const int error = errno;
      if (descriptor_ >= 0) ::close(descriptor_);
      throw Error(code_of_errno(error), fmt::format("{}: cannot be locked: {}", path.string(), std::strerror(error)));
    }
    if (is_at(descriptor_, path)) return;
    ::close(descriptor_);
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

}  // namespace wkv::zoo
