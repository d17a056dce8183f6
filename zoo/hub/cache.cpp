#include "hub/cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "hub/digest.h"
#include "hub/url.h"
#include "io/atomic_file.h"
#include "io/file_system.h"
#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLettersAndDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

bool is_plain(std::string_view name, std::string_view also) {
  for (const char c : name) {
    if (kLettersAndDigits.find(c) == name.npos && also.find(c) == name.npos) return false;
  }
  return !name.empty();
}

// Names between slashes, none of which leads elsewhere.
bool is_inside(std::string_view path) {
  for (const char c : path) {
    if ((c >= 0 && c < ' ') || c == 0x7f || c == '\\') return false;
  }
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view name = path.substr(start, end - start);
    if (name.empty() || name == "." || name == "..") return false;
    start = end + 1;
  }
  return true;
}

void refuse(const std::string& what, const std::string& expected, const std::string& got) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{} must be {}, got \"{}\"", what, expected, printable(got)));
}

}  // namespace

void require_valid(const RemoteFile& file) {
  if (!is_inside(file.path)) refuse("the path of a file", "relative, without . and ..", file.path);
  if (file.size && *file.size < 0) refuse("the size of a file", "a number of bytes", std::to_string(*file.size));
  if (file.sha256 && !is_lower_hex(*file.sha256, 64))
    refuse("sha256", "64 lower-case hexadecimal digits", *file.sha256);
  if (!file.url.empty()) {
    url_scheme(file.url);
    if (!file.sha256)
      throw Error(ErrorCode::invalid_argument, fmt::format("{}: its sha256 must be known", without_secrets(file.url)));
    return;
  }
  const size_t slash = file.repository.find('/');
  if (slash == file.repository.npos || !is_inside(file.repository) ||
      !is_plain(file.repository.substr(0, slash), "-_.") || !is_plain(file.repository.substr(slash + 1), "-_."))
    refuse("a repository", "OWNER/NAME", file.repository);
  if (!is_inside(file.revision) || !is_plain(file.revision, "-_./"))
    refuse("a revision", "the name of a branch, a tag or a commit", file.revision);
}

void require_valid_names(const std::string& commit, const std::string& etag) {
  const auto require = [](bool valid, const char* what, const std::string& got) {
    if (!valid)
      throw Error(ErrorCode::network, fmt::format("the server's {} is not usable: \"{}\"", what, printable(got)));
  };
  require(is_lower_hex(commit, 40), "X-Repo-Commit", commit);
  require(is_plain(etag, "-_") && etag.size() <= 128, "ETag", etag);
}

void make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw Error(code_of_errno(error.value()),
                fmt::format("{}: cannot create the folder: {}; set HF_HUB_CACHE, or XDG_CACHE_HOME, to one that can "
                            "be written",
                            folder.string(), error.message()));
  }
}

CacheEntry::CacheEntry(const fs::path& cache, const RemoteFile& file)
    : cache_(cache), revision_(file.revision), path_(file.path) {
  const size_t slash = file.repository.find('/');
  folder_ = fmt::format("models--{}--{}", file.repository.substr(0, slash), file.repository.substr(slash + 1));
}

std::string CacheEntry::commit() const {
  std::ifstream file(cache_ / folder_ / "refs" / revision_);
  std::string commit;
  std::getline(file, commit);
  return is_lower_hex(commit, 40) ? commit : revision_;
}

fs::path CacheEntry::snapshot(const std::string& commit) const {
  return cache_ / folder_ / "snapshots" / commit / path_;
}

fs::path CacheEntry::blob(const std::string& etag) const { return cache_ / folder_ / "blobs" / etag; }

fs::path CacheEntry::lock(const std::string& etag) const { return cache_ / ".locks" / folder_ / (etag + ".lock"); }

void CacheEntry::show(const std::string& etag, const std::string& commit) const {
  const fs::path file = snapshot(commit), folder = file.parent_path();
  make_folders(folder);
  const auto fail = [&] {
    throw Error(code_of_errno(errno), fmt::format("{}: cannot be created: {}", file.string(), std::strerror(errno)));
  };
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) fail();
  if (::symlink(blob(etag).lexically_relative(folder).c_str(), file.c_str()) != 0) {
    // A file system without links holds the contents at the only place where they are looked for.
    const bool without_links = errno == EPERM || errno == ENOTSUP || errno == ENOSYS;
    if (!without_links || ::rename(blob(etag).c_str(), file.c_str()) != 0) fail();
  }
  flush_folder(folder);
}

void CacheEntry::set_commit(const std::string& commit) const {
  if (revision_ == commit || this->commit() == commit) return;
  const fs::path path = cache_ / folder_ / "refs" / revision_;
  make_folders(path.parent_path());
  AtomicFile file(path);
  file.write(commit);
  file.commit();
}

}  // namespace wkv::zoo
