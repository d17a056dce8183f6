#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "core/progress_bar.h"

namespace wkv::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

// total: 0 where it is not known. first: where the clock began.
std::string bytes_text(int64_t first, int64_t done, int64_t total, SteadyClock::time_point start) {
  constexpr double kMega = 1e6;
  const auto bytes = static_cast<double>(done), all = static_cast<double>(total);
  const double rate = (bytes - static_cast<double>(first)) / seconds_since(start);
  if (total == 0) return fmt::format("{:.1f} MB, {:.1f} MB/s", bytes / kMega, rate / kMega);
  const std::string left = rate > 0 ? fmt::format(", {} left", zoo::duration((all - bytes) / rate)) : "";
  return fmt::format("{} {:.1f} of {:.1f} MB, {:.1f} MB/s{}", zoo::progress_bar(bytes / all), bytes / kMega,
                     all / kMega, rate / kMega, left);
}

class DownloadBar {
 public:
  void advance_to(const zoo::RemoteFile& file, int64_t done, std::optional<int64_t> total) {
    if (file.path != path_ || done < done_) {  // another file, or this one from its beginning
      path_ = file.path;
      first_ = done;
      start_ = SteadyClock::now();
    }
    done_ = done;
    line_.show([&] { return text(done, total); });
    if (done == total) line_.clear();
  }

 private:
  std::string text(int64_t done, std::optional<int64_t> total) const {
    constexpr size_t kNameWidth = 24;
    const std::string name = path_.size() > kNameWidth ? "..." + path_.substr(path_.size() - kNameWidth + 3) : path_;
    return fmt::format("{} {}", name, bytes_text(first_, done, total.value_or(0), start_));
  }

  std::string path_;
  int64_t first_ = 0, done_ = 0;
  SteadyClock::time_point start_;
  LiveLine line_;
};

}  // namespace

LiveLine::LiveLine() : live_(isatty(STDERR_FILENO) == 1) {}

void LiveLine::show(const std::function<std::string()>& text) {
  constexpr std::chrono::milliseconds kInterval{200};
  const auto now = Clock::now();
  if (!live_ || (open_ && now - shown_ < kInterval)) return;
  fmt::print(stderr, "\r\x1b[K{}", text());
  std::fflush(stderr);
  shown_ = now;
  open_ = true;
}

void LiveLine::clear() {
  if (open_) fmt::print(stderr, "\r\x1b[K");
  open_ = false;
}

void ProgressLine::advance_to(int64_t done) {
  line_.show([&] {
    const double rate = static_cast<double>(done) / seconds_since(start_);
    return fmt::format("{} {} of {} {}, {:.1f}/s, {} left",
                       zoo::progress_bar(static_cast<double>(done) / static_cast<double>(total_)), done, total_, what_,
                       rate, zoo::duration(static_cast<double>(total_ - done) / rate));
  });
}

void ByteProgress::advance_to(int64_t done) {
  line_.show([&] { return bytes_text(0, done, total_, start_); });
}

zoo::FetchProgress show_downloads() {
  return [bar = std::make_shared<DownloadBar>()](const zoo::RemoteFile& file, int64_t done,
                                                 std::optional<int64_t> total) { bar->advance_to(file, done, total); };
}

}  // namespace wkv::cli
