#include "vision/partial_embeddings.h"

#include <ATen/Functions.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/mapped_file.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

bool write_all(int descriptor, const char* bytes, size_t size, int64_t place) {
  while (size > 0) {
    const ssize_t written = ::pwrite(descriptor, bytes, size, place);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes += written;
    size -= static_cast<size_t>(written);
    place += written;
  }
  return true;
}

}  // namespace

PartialEmbeddings::PartialEmbeddings(const std::string& output, const std::string& origin, int64_t width)
    : path_(output + ".partial"), width_(width) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor_ < 0) fail("be opened");
  const std::string head = "wkv embed: " + origin + "\n";
  try {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0)
      throw Error(ErrorCode::invalid_argument, fmt::format("{}: another run is writing it", path_));
    if (::lseek(descriptor_, 0, SEEK_END) > 0) {
      read_records(head);
    } else {
      if (!write_all(descriptor_, head.data(), head.size(), 0)) fail("be written");
      end_ = static_cast<int64_t>(head.size());
    }
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

PartialEmbeddings::~PartialEmbeddings() {
  if (places_.empty()) ::unlink(path_.c_str());  // nothing to go on from
  ::close(descriptor_);
}

void PartialEmbeddings::read_records(std::string_view head) {
  const auto file = MappedFile::open(path_);
  const auto bytes = file->bytes();
  if (!std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(head)) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{}: left by a run with another model or other options: remove it, or choose another output",
                    path_));
  }
  const size_t vector_bytes = static_cast<size_t>(width_) * sizeof(float);
  size_t place = head.size();
  uint32_t length = 0;
  while (bytes.size() - place >= sizeof length) {
    std::memcpy(&length, bytes.data() + place, sizeof length);
    const size_t left = bytes.size() - place - sizeof length;
    if (left < length || left - length < vector_bytes) break;
    const char* name = reinterpret_cast<const char*>(bytes.data()) + place + sizeof length;
    place += sizeof length + length;
    places_.emplace(std::string(name, length), static_cast<int64_t>(place));
    place += vector_bytes;
  }
  end_ = static_cast<int64_t>(place);
}

void PartialEmbeddings::append(const std::vector<std::string>& names, const at::Tensor& vectors) {
  if (vectors.dim() != 2 || vectors.size(0) != static_cast<int64_t>(names.size()) || vectors.size(1) != width_) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: expected {} vectors of {} values", path_, names.size(), width_));
  }
  const at::Tensor rows = vectors.to(at::kFloat).contiguous();
  const size_t vector_bytes = static_cast<size_t>(width_) * sizeof(float);
  const char* row = static_cast<const char*>(rows.const_data_ptr());
  std::string records;
  std::vector<int64_t> places;
  for (const std::string& name : names) {
    const auto length = static_cast<uint32_t>(name.size());
    records.append(reinterpret_cast<const char*>(&length), sizeof length).append(name);
    places.push_back(end_ + static_cast<int64_t>(records.size()));
    records.append(row, vector_bytes);
    row += vector_bytes;
  }
  if (!write_all(descriptor_, records.data(), records.size(), end_)) fail("be written");
  end_ += static_cast<int64_t>(records.size());
  for (size_t i = 0; i < names.size(); ++i) places_.emplace(names[i], places[i]);
}

Embeddings PartialEmbeddings::of(const std::vector<std::string>& names) const {
  Embeddings embeddings;
  for (const std::string& name : names) {
    if (contains(name)) embeddings.names.push_back(name);
  }
  embeddings.vectors = at::empty({static_cast<int64_t>(embeddings.names.size()), width_}, at::kFloat);
  const size_t vector_bytes = static_cast<size_t>(width_) * sizeof(float);
  auto* row = static_cast<char*>(embeddings.vectors.data_ptr());
  for (const std::string& name : embeddings.names) {
    if (::pread(descriptor_, row, vector_bytes, places_.at(name)) != static_cast<ssize_t>(vector_bytes))
      fail("be read");
    row += vector_bytes;
  }
  return embeddings;
}

void PartialEmbeddings::remove() { ::unlink(path_.c_str()); }

void PartialEmbeddings::fail(const char* action) const {
  const ErrorCode code = errno == ENOSPC || errno == EDQUOT ? ErrorCode::disk_full : ErrorCode::not_found;
  throw Error(code, fmt::format("{}: cannot {}: {}", path_, action, std::strerror(errno)));
}

}  // namespace wkv::zoo
