#include "hub/download.h"

#include <fmt/format.h>

#include <charconv>

#include "hub/partial_file.h"
#include "hub/retries.h"
#include "hub/url.h"
#include "io/printable.h"

namespace wkv::zoo {
namespace {

constexpr int64_t kProgressOfATry = 1 << 20;  // a try that brings this much was no failure

// "bytes FIRST-LAST/SIZE", or "bytes */SIZE" for a range that isn't there; SIZE may be *.
struct ContentRange {
  std::optional<int64_t> first, size;
};

ContentRange content_range(const HttpResponse& response) {
  const std::string text = response.header("content-range");
  const auto number_at = [&](size_t start) -> std::optional<int64_t> {
    int64_t value = -1;
    const auto [end, error] = std::from_chars(text.data() + start, text.data() + text.size(), value);
    if (error != std::errc() || value < 0) return std::nullopt;
    return value;
  };
  const size_t slash = text.find('/');
  if (!text.starts_with("bytes ") || slash == text.npos) return {};
  return {number_at(6), number_at(slash + 1)};
}

class Downloader {
 public:
  Downloader(Http& http, const Download& file) : http_(http), file_(file), partial_(file.target), size_(file.size) {}

  void run() {
    const bool resumed = partial_.size() > 0;
    transfer();
    std::string wrong = mismatch();
    if (!wrong.empty() && resumed) {  // it may have begun as another file, or not have reached the disk whole
      partial_.restart();
      transfer();
      wrong = mismatch();
    }
    if (!wrong.empty()) refuse(wrong);
    partial_.commit();
  }

 private:
  void transfer() {
    Retries retries(file_.retry_delay);
    for (;;) {
      if (size_ && partial_.size() > *size_) partial_.restart();
      if (partial_.size() == size_) return;
      const int64_t before = partial_.size();
      try {
        return fetch_rest();
      } catch (const HttpError& failure) {
        if (partial_.size() - before >= kProgressOfATry) retries.reset();
        retries.wait_after(failure);
      }
    }
  }

  void fetch_rest() {
    const HttpResponse response = http_.get(
        file_.url, partial_.size(), [this](const HttpResponse& answer) { begin(answer); },
        [this](std::string_view bytes) { receive(bytes); });
    if (response.status == 416) {
      if (!size_ && partial_.size() == content_range(response).size) return;
      partial_.restart();
      fail("nothing there from that byte on (HTTP 416)", true);
    }
    if (size_ && partial_.size() < *size_)
      fail(fmt::format("it ended after {} of {} bytes", partial_.size(), *size_), true);
  }

  void begin(const HttpResponse& response) {
    const std::string encoding = response.header("content-encoding");
    if (!encoding.empty() && encoding != "identity")
      fail(fmt::format("sent as \"{}\" instead of as it is", printable(encoding)), false);
    std::optional<int64_t> total = response.number("content-length");
    if (response.status == 206) {
      const ContentRange range = content_range(response);
      if (range.first != partial_.size()) {
        partial_.restart();
        fail("another range came than was asked for", true);
      }
      total = range.size;
    } else if (partial_.size() > 0) {  // a server that knows no ranges
      partial_.restart();
    }
    if (total && size_ && *total != *size_)
      fail(fmt::format("{} bytes are announced, {} were expected", *total, *size_), false);
    if (!size_) size_ = total;
    if (!size_ && file_.sha256.empty() && file_.git_sha1.empty())
      fail("the server tells neither size nor checksum: the file could not be verified", false);
    if (size_) partial_.require_space(*size_ - partial_.size());
    tell();
  }

  void receive(std::string_view bytes) {
    if (size_ && static_cast<int64_t>(bytes.size()) > *size_ - partial_.size())
      refuse(fmt::format("more comes than the {} bytes that were expected", *size_));
    partial_.append(bytes);
    tell();
  }

  // Empty where all is as it should be.
  std::string mismatch() const {
    if (!file_.sha256.empty()) {
      const std::string sha256 = partial_.sha256();
      return sha256 == file_.sha256 ? "" : fmt::format("its sha256 is {} instead of {}", sha256, file_.sha256);
    }
    if (file_.git_sha1.empty()) return "";
    const std::string sha1 = git_blob_sha1_of_file(partial_.path());
    return sha1 == file_.git_sha1 ? "" : fmt::format("its git checksum is {} instead of {}", sha1, file_.git_sha1);
  }

  void tell() const {
    if (file_.progress) file_.progress(partial_.size(), size_);
  }

  [[noreturn]] void refuse(const std::string& reason) {
    partial_.remove();
    throw Error(ErrorCode::checksum, fmt::format("{}: {}", without_secrets(file_.url), reason));
  }

  [[noreturn]] void fail(const std::string& reason, bool transient) const {
    throw HttpError(ErrorCode::network, fmt::format("{}: {}", without_secrets(file_.url), reason), transient);
  }

  Http& http_;
  const Download& file_;
  PartialFile partial_;
  std::optional<int64_t> size_;
};

}  // namespace

void download(Http& http, const Download& file) { Downloader(http, file).run(); }

}  // namespace wkv::zoo
