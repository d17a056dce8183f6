#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace wkv::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
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
    constexpr double kBarWidth = 20, kMega = 1e6;
    const std::string name = path_.size() > kNameWidth ? "..." + path_.substr(path_.size() - kNameWidth + 3) : path_;
    const auto bytes = static_cast<double>(done);
    const double rate = (bytes - static_cast<double>(first_)) / seconds_since(start_);
    if (!total || *total == 0) return fmt::format("{} {:.1f} MB, {:.1f} MB/s", name, bytes / kMega, rate / kMega);
    const auto all = static_cast<double>(*total);
    const std::string bar(static_cast<size_t>(kBarWidth * bytes / all), '#');
    const std::string left = rate > 0 ? fmt::format(", {:.0f} s left", (all - bytes) / rate) : "";
    return fmt::format("{} [{:<{}}] {:.1f} of {:.1f} MB, {:.1f} MB/s{}", name, bar, static_cast<int>(kBarWidth),
                       bytes / kMega, all / kMega, rate / kMega, left);
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
    return fmt::format("{} of {} {}, {:.1f}/s, {:.0f} s left", done, total_, what_, rate,
                       static_cast<double>(total_ - done) / rate);
  });
}

zoo::FetchProgress show_downloads() {
  return [bar = std::make_shared<DownloadBar>()](const zoo::RemoteFile& file, int64_t done,
                                                 std::optional<int64_t> total) { bar->advance_to(file, done, total); };
}

}  // namespace wkv::cli
