#include "generate/stop_filter.h"

#include <algorithm>
#include <utility>

#include "text/overlap.h"
#include "wkv/error.h"

namespace wkv {
StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  if (std::ranges::find(stops_, "") != stops_.end()) {
    throw Error(ErrorCode::invalid_argument, "generate: a stop string is empty");
  }
}

std::string StopFilter::push(std::string_view bytes) {
  if (stopped_) return {};
  pending_ += bytes;
  std::size_t end = std::string::npos;
  for (const std::string& stop : stops_) end = std::min(end, pending_.find(stop));
  stopped_ = end != std::string::npos;
  if (!stopped_) {
    std::size_t held = 0;
    for (const std::string& stop : stops_) held = std::max(held, overlap(pending_, stop));
    end = pending_.size() - held;
  }
  std::string shown = pending_.substr(0, end);
  pending_.erase(0, stopped_ ? std::string::npos : end);
  return shown;
}

std::string StopFilter::flush() { return std::exchange(pending_, {}); }

}  // namespace wkv
