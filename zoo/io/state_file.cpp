// A state as a safetensors file; the metadata key kOrderKey lists its entries, separated by spaces.
#include "wkv/zoo/state_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

constexpr const char* kOrderKey = "wkv_state";
constexpr const char* kHidden = "hidden";  // beside the entries, not one of them

void check_state_entry(const std::string& path, const TensorEntry& entry, const TensorEntry& first) {
  if (!c10::isFloatingType(entry.dtype)) {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {} is of dtype {}, expected a floating-point one", path,
                                                     entry.name, c10::toString(entry.dtype)));
  }
  if (entry.shape.empty() || entry.shape.front() != first.shape.front()) {
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: {} is [{}], expected as many rows as {} [{}]", path, entry.name,
                            fmt::join(entry.shape, ", "), first.name, fmt::join(first.shape, ", ")));
  }
}

}  // namespace

void save_state(const std::filesystem::path& path, const models::State& state, const at::Tensor& hidden) {
  if (state.empty()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: the empty state can't be saved", path.string()));
  }
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  std::vector<std::string> order;
  for (const auto& [name, tensor] : state.entries) {
    tensors.emplace_back(name, tensor.detach());
    order.push_back(name);
  }
  if (hidden.defined()) tensors.emplace_back(kHidden, hidden.detach());
  write_safetensors(path, tensors, {{kOrderKey, fmt::format("{}", fmt::join(order, " "))}});
}

models::State load_state(const std::filesystem::path& path, at::Tensor* hidden) {
  const TensorSource source = open_tensors(path);
  const auto order = source.metadata.find(kOrderKey);
  if (order == source.metadata.end() || source.entries.empty()) {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: not a saved state", path.string()));
  }
  models::State state;
  std::istringstream names(order->second);
  for (std::string name; names >> name;) {
    const TensorEntry* entry = source.find(name);
    const bool again = std::ranges::find(state.entries, name, &models::State::Entry::name) != state.entries.end();
    if (!entry || again) {
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: its order of entries names {} {}", path.string(), name,
                                                       again ? "twice" : "and there is no such tensor"));
    }
    const TensorEntry* first = state.empty() ? entry : source.find(state.entries.front().name);
    check_state_entry(path.string(), *entry, *first);
    state.entries.push_back({name, as_tensor(*entry)});
  }
  const TensorEntry* last = source.find(kHidden);
  if (hidden) *hidden = last ? as_tensor(*last) : at::Tensor();
  if (state.entries.size() + (last ? 1 : 0) != source.entries.size()) {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {} tensors, and its order of entries names {}", path.string(),
                                                     source.entries.size(), state.entries.size()));
  }
  return state;
}

}  // namespace wkv::zoo
