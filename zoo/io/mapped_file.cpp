// Maps with MAP_PRIVATE (copy-on-write) and MAP_NORESERVE: a checkpoint larger than the free memory may still be
// opened.
#include "io/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

struct OpenedFile {
  int descriptor;
  ~OpenedFile() {
    if (descriptor >= 0) ::close(descriptor);
  }
};

}  // namespace

std::shared_ptr<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const std::string name = path.string();
  const OpenedFile file{::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};  // a pipe must not make us wait
  if (file.descriptor < 0) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    if (missing) throw Error(ErrorCode::not_found, fmt::format("{}: there is no such file", name));
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: cannot be opened: {}", name, std::strerror(errno)));
  }
  struct stat info {};
  if (::fstat(file.descriptor, &info) != 0)
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: cannot be examined: {}", name, std::strerror(errno)));
  if (S_ISDIR(info.st_mode))
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: is a folder, expected a file", name));
  if (!S_ISREG(info.st_mode)) throw Error(ErrorCode::invalid_argument, fmt::format("{}: is not a regular file", name));
  if (info.st_size == 0) throw Error(ErrorCode::corrupt_file, fmt::format("{}: the file is empty", name));

  const auto size = static_cast<size_t>(info.st_size);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.descriptor, 0);
  if (memory == MAP_FAILED)
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: cannot be mapped: {}", name, std::strerror(errno)));
  return std::shared_ptr<MappedFile>(new MappedFile({static_cast<std::byte*>(memory), size}, name));
}

std::shared_ptr<void> MappedFile::share(std::span<std::byte> part) {
  return {part.data(), [file = shared_from_this(), part](void*) { file->drop(part); }};
}

void MappedFile::drop(std::span<std::byte> part) {
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto start = reinterpret_cast<uintptr_t>(part.data());
  const uintptr_t first = (start + page - 1) / page * page, end = (start + part.size()) / page * page;
  if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() { ::munmap(bytes_.data(), bytes_.size()); }

}  // namespace wkv::zoo
