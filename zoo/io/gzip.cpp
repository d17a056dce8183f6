#include "io/gzip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr int kGzipWindow = 16 + MAX_WBITS;  // 16: a gzip header, and its checksum at the end
constexpr std::size_t kGzipStep = 1 << 16;

class GzipStream {
 public:
  explicit GzipStream(std::string_view file) {
    if (inflateInit2(&stream_, kGzipWindow) != Z_OK) throw std::bad_alloc();
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.data()));  // zlib only reads it
    stream_.avail_in = static_cast<uInt>(file.size());
  }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;
  ~GzipStream() { inflateEnd(&stream_); }

  // Appends what comes next, at most kGzipStep bytes, and returns what zlib says.
  int append_to(std::string& content) {
    const std::size_t before = content.size();
    content.resize(before + kGzipStep);
    stream_.next_out = reinterpret_cast<Bytef*>(content.data() + before);
    stream_.avail_out = kGzipStep;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    content.resize(content.size() - stream_.avail_out);
    return result;
  }
  std::size_t unread() const { return stream_.avail_in; }

 private:
  z_stream stream_{};
};

}  // namespace

std::string gunzip(std::string_view file, const std::string& name, std::size_t max_bytes) {
  const auto reject = [&](const std::string& problem) {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {}", name, problem));
  };
  GzipStream stream(file);
  std::string content;
  for (int result = Z_OK; result != Z_STREAM_END;) {
    result = stream.append_to(content);
    if (content.size() > max_bytes) reject(fmt::format("more than {} bytes when decompressed", max_bytes));
    if (result == Z_BUF_ERROR) reject("cut short: the compressed data does not end");
    if (result != Z_OK && result != Z_STREAM_END) reject("not a gzip file, or damaged");
  }
  if (stream.unread() > 0) reject(fmt::format("{} bytes after the end of the compressed data", stream.unread()));
  return content;
}

}  // namespace wkv::zoo
