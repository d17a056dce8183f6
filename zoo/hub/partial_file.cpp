#include "hub/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "io/file_system.h"

namespace wkv::zoo {

PartialFile::PartialFile(const std::filesystem::path& target) : target_(target), path_(target) {
  path_ += ".incomplete";
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor_ < 0) fail("create");
  try {
    digest_what_is_there();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

PartialFile::~PartialFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void PartialFile::digest_what_is_there() {
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t count = ::read(descriptor_, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read");
    if (count == 0) return;
    digest_.update({buffer.data(), static_cast<size_t>(count)});
    size_ += count;
  }
}

void PartialFile::require_space(int64_t bytes) const {
  struct statvfs disk {};
  if (::fstatvfs(descriptor_, &disk) != 0) return;  // then the writes will tell
  const auto free = static_cast<int64_t>(disk.f_bavail * disk.f_frsize);
  if (bytes > free) {
    throw Error(ErrorCode::disk_full, fmt::format("{}: {} bytes are needed and {} are free: {} are missing",
                                                  path_.parent_path().string(), bytes, free, bytes - free));
  }
}

void PartialFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write");
    digest_.update(bytes.substr(0, static_cast<size_t>(written)));
    size_ += written;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void PartialFile::restart() {
  if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) fail("write");
  size_ = 0;
  digest_ = Digest("SHA256");
}

void PartialFile::commit() {
  if (::fsync(descriptor_) != 0) fail("write");
  const int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0) fail("write");
  if (::rename(path_.c_str(), target_.c_str()) != 0) fail("rename");
  flush_folder(target_.parent_path());
}

void PartialFile::remove() { ::unlink(path_.c_str()); }

void PartialFile::fail(const char* action) const {
  const int error = errno;
  const ErrorCode code = code_of_errno(error);
  const char* advice =
      code == ErrorCode::disk_full ? "; what came is kept: free some space, and it goes on from there" : "";
  throw Error(code, fmt::format("{}: cannot {} the file: {}{}", path_.string(), action, std::strerror(error), advice));
}

}  // namespace wkv::zoo
