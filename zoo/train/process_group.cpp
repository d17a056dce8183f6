#include "train/process_group.h"

#include <ATen/ops/full.h>
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "train/gloo_group.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int64_t whole_number(const char* name, int64_t low, int64_t high) {
  const std::string text = variable(name);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} must be a whole number from {} to {}{}, got {}", name, low, high,
                            variable("WORLD_SIZE").empty() ? "" : " where WORLD_SIZE is " + variable("WORLD_SIZE"),
                            text.empty() ? "nothing" : "\"" + text + "\""));
  return value;
}

}  // namespace

bool ProcessGroup::any(bool here) {
  const auto count = at::full({1}, here ? 1 : 0, at::kLong);
  all_reduce(count).wait();
  return count.item<int64_t>() > 0;
}

Rendezvous rendezvous_from_environment() {
  Rendezvous rendezvous;
  if (variable("WORLD_SIZE").empty()) return rendezvous;
  rendezvous.size = whole_number("WORLD_SIZE", 1, 1 << 20);
  if (rendezvous.size == 1) return rendezvous;
  rendezvous.rank = whole_number("RANK", 0, rendezvous.size - 1);
  rendezvous.address = variable("MASTER_ADDR");
  if (rendezvous.address.empty())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("MASTER_ADDR must be the address of rank 0 where WORLD_SIZE is {}", rendezvous.size));
  rendezvous.port = static_cast<uint16_t>(whole_number("MASTER_PORT", 1, std::numeric_limits<uint16_t>::max()));
  // torchrun's agent is the meeting point itself, and starts ranks anew after a failure.
  rendezvous.hosted = variable("TORCHELASTIC_USE_AGENT_STORE") != "True";
  rendezvous.prefix = "wkv/" + variable("TORCHELASTIC_RESTART_COUNT");
  if (!variable("WKV_RENDEZVOUS_SECONDS").empty())
    rendezvous.patience = std::chrono::seconds(whole_number("WKV_RENDEZVOUS_SECONDS", 1, 1'000'000));
  return rendezvous;
}

std::unique_ptr<ProcessGroup> join(const Rendezvous& rendezvous) {
  if (rendezvous.size == 1) return nullptr;
  return join_gloo(rendezvous);
}

}  // namespace wkv::zoo
