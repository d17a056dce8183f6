// The file has a tensor for each entry of the state; the metadata's kOrderKey lists them, separated by spaces. A
// context has one tensor more, kHiddenName.
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
constexpr const char* kHiddenName = "hidden";

Error corrupt_state(const std::filesystem::path& path, const std::string& what) {
  return Error(ErrorCode::corrupt_file, fmt::format("{}: {}", path.string(), what));
}

at::Tensor state_tensor(const std::filesystem::path& path, const TensorEntry& entry) {
  if (!c10::isFloatingType(entry.dtype) && entry.dtype != at::kLong) {
    throw corrupt_state(path, fmt::format("{} is of dtype {}, expected a floating-point one or int64", entry.name,
                                          c10::toString(entry.dtype)));
  }
  return as_tensor(entry);
}

void add_entry(const std::filesystem::path& path, const TensorSource& source, const std::string& name,
               models::State& state) {
  if (std::ranges::find(state.entries, name, &models::State::Entry::name) != state.entries.end()) {
    throw corrupt_state(path, fmt::format("its order of entries names {} twice", name));
  }
  const TensorEntry* entry = source.find(name);
  if (!entry)
    throw corrupt_state(path, fmt::format("its order of entries names {}, and there is no such tensor", name));
  state.entries.push_back({name, state_tensor(path, *entry)});
  const auto& [first_name, first] = state.entries.front();
  if (entry->shape.empty() || entry->shape.front() != first.size(0)) {
    throw corrupt_state(path,
                        fmt::format("{} is [{}], expected as many rows as {} [{}]", name, fmt::join(entry->shape, ", "),
                                    first_name, fmt::join(first.sizes().vec(), ", ")));
  }
}

}  // namespace

void save_context(const std::filesystem::path& path, const Context& context) {
  if (context.state.empty()) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: the empty state can't be saved", path.string()));
  }
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  std::vector<std::string> order;
  for (const auto& [name, tensor] : context.state.entries) {
    tensors.emplace_back(name, tensor.detach());
    order.push_back(name);
  }
  if (context.hidden.defined()) tensors.emplace_back(kHiddenName, context.hidden.detach());
  write_safetensors(path, tensors, {{kOrderKey, fmt::format("{}", fmt::join(order, " "))}});
}

void save_state(const std::filesystem::path& path, const models::State& state) { save_context(path, {state, {}}); }

Context load_context(const std::filesystem::path& path) {
  const TensorSource source = open_tensors(path);
  const auto order = source.metadata.find(kOrderKey);
  if (order == source.metadata.end() || order->second.empty()) {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: not a saved state", path.string()));
  }
  Context context;
  std::istringstream names(order->second);
  for (std::string name; names >> name;) add_entry(path, source, name, context.state);
  if (const TensorEntry* hidden = source.find(kHiddenName)) {
    context.hidden = state_tensor(path, *hidden);
    if (context.hidden.dim() != 3 || context.hidden.size(0) != 1 || context.hidden.size(1) != 1 ||
        !context.hidden.is_floating_point()) {
      throw corrupt_state(path, fmt::format("{} is [{}], expected [1, 1, C] of floating-point numbers", kHiddenName,
                                            fmt::join(hidden->shape, ", ")));
    }
  }
  const size_t named = context.state.entries.size() + (context.hidden.defined() ? 1 : 0);
  if (named != source.entries.size()) {
    throw corrupt_state(path, fmt::format("{} tensors, of which its order of entries names {}", source.entries.size(),
                                          context.state.entries.size()));
  }
  return context;
}

models::State load_state(const std::filesystem::path& path) { return load_context(path).state; }

}  // namespace wkv::zoo
