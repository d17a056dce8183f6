#include "io/temporary_sibling.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "io/file_system.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::string_view kTemporarySuffix = ".tmp";

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

// Is this "<name of the target>.<process>-<number>.tmp"?
bool is_temporary_of(std::string_view name, const std::filesystem::path& target) {
  const std::string prefix = target.filename().string() + ".";
  if (!name.starts_with(prefix) || !name.ends_with(kTemporarySuffix)) return false;
  name.remove_prefix(prefix.size());
  if (name.size() < kTemporarySuffix.size()) return false;
  name.remove_suffix(kTemporarySuffix.size());
  const size_t dash = name.find('-');
  return dash != name.npos && dash > 0 && dash + 1 < name.size() && name.find('-', dash + 1) == name.npos &&
         name.find_first_not_of("0123456789-") == name.npos;
}

// Does the path still lead to the opened file? Another process may have removed it, and a third have made it anew.
bool is_at(int descriptor, const std::filesystem::path& path) {
  struct stat opened {
  }, there{};
  return ::fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &there) == 0 && opened.st_dev == there.st_dev &&
         opened.st_ino == there.st_ino;
}

// What killed writers of the target left. What can't be locked is being written, or lies where nothing can be locked.
void remove_abandoned(const std::filesystem::path& target) {
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(folder_of(target), error)) {
    if (!is_temporary_of(file.path().filename().string(), target)) continue;
    const int descriptor = ::open(file.path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) continue;
    std::error_code ignored;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0 && is_at(descriptor, file.path()))
      std::filesystem::remove_all(file.path(), ignored);
    ::close(descriptor);
  }
}

}  // namespace

TemporarySibling::TemporarySibling(std::filesystem::path target, Kind kind) : target_(std::move(target)), kind_(kind) {
  if (!target_.has_filename()) target_ = target_.parent_path();  // "folder/"
  remove_abandoned(target_);
  // The number tells apart the writers of one process.
  for (int number = 0; number < 1000; ++number) {
    path_ = fmt::format("{}.{}-{}{}", target_.string(), ::getpid(), number, kTemporarySuffix);
    if (create()) return;
  }
  errno = EEXIST;
  fail("create");
}

TemporarySibling::~TemporarySibling() {
  if (!path_.empty()) remove();
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool TemporarySibling::create() {
  if (kind_ == Kind::file) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } else if (::mkdir(path_.c_str(), 0777) == 0) {
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  if (descriptor_ < 0) {
    if (errno == EEXIST) return false;
    fail("create");
  }
  // Another writer may have taken it for abandoned, between these two calls.
  const bool contested = ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (!contested && is_at(descriptor_, path_)) return true;
  ::close(std::exchange(descriptor_, -1));
  return false;
}

void TemporarySibling::remove() const {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TemporarySibling::replace_target() {
  if (::fsync(descriptor_) != 0 && kind_ == Kind::file) fail("write");
  if (::rename(path_.c_str(), target_.c_str()) != 0) fail("replace");
  path_.clear();
  flush_folder(folder_of(target_));
}

void TemporarySibling::fail(const char* action) const {
  const int error = errno;
  const ErrorCode code = code_of_errno(error);
  const char* advice =
      code == ErrorCode::disk_full ? "; nothing was changed: free some space, or choose another folder" : "";
  throw Error(code, fmt::format("{}: cannot {} the {}: {}{}", target_.string(), action,
                                kind_ == Kind::file ? "file" : "folder", std::strerror(error), advice));
}

}  // namespace wkv::zoo
