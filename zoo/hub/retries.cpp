#include "hub/retries.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>

namespace wkv::zoo {
namespace {

constexpr int kTries = 5;

}  // namespace

void Retries::wait_after(const HttpError& failure) {
  if (!failure.transient()) throw failure;
  if (++failures_ == kTries)
    throw HttpError(failure.code(), fmt::format("{} (the last of {} tries)", failure.what(), kTries), false);
  static thread_local std::minstd_rand random{std::random_device{}()};
  const double jitter = std::uniform_real_distribution<double>(0.5, 1.5)(random);
  auto wait = delay_ * std::exp2(failures_ - 1) * jitter;
  if (const auto asked = failure.retry_after()) wait = std::max<std::chrono::duration<double>>(wait, *asked);
  std::this_thread::sleep_for(wait);
}

}  // namespace wkv::zoo
