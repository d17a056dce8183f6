#include "mapping/hub_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "io/layout.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::string_view kBlocks = "blocks.";

// The row for a name, and the whole of the name that it stands for on the other side; a null row when there is none.
struct OtherName {
  const HubName* row = nullptr;
  std::string name;
};

OtherName other_name(const HubNames& names, std::string_view name, std::string_view HubName::*from,
                     std::string_view HubName::*to) {
  const bool reading = from == &HubName::theirs;
  const auto [block, rest] = block_name(name, reading ? names.blocks : kBlocks);
  const auto rows = block < 0 ? names.of_model : names.of_block;
  const auto found = std::ranges::find(rows, rest, from);
  if (found == rows.end()) return {};
  const std::string_view other = (*found).*to;
  if (block < 0) return {&*found, std::string(other)};
  return {&*found, fmt::format("{}{}.{}", reading ? kBlocks : names.blocks, block, other)};
}

}  // namespace

BlockName block_name(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return {-1, name};
  int64_t block = -1;
  const std::string_view rest = name.substr(prefix.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), block);
  if (error != std::errc() || block < 0 || end == rest.data() + rest.size() || *end != '.') return {-1, name};
  return {block, rest.substr(static_cast<size_t>(end - rest.data()) + 1)};
}

TensorEntry HubNames::published(const Checkpoint& file, const std::string& name, const TensorEntry& entry) const {
  const auto [row, other] = other_name(*this, name, &HubName::theirs, &HubName::published);
  if (!row) return renamed(entry, name);
  if (row->held != Held::transposed) return renamed(entry, other);
  file.shape(name, 2);
  return renamed(transposed(entry), other);
}

void HubNames::rename(ModelTensors& model, const std::string& source) const {
  std::map<std::string, at::Tensor> result;
  for (const auto& [name, tensor] : model.tensors) {
    const auto [row, other] = other_name(*this, name, &HubName::published, &HubName::theirs);
    if (!row) {
      throw Error(ErrorCode::unsupported_format,
                  fmt::format("{}: {}: the hub's layout has no such tensor", source, name));
    }
    result[other] = row->held == Held::transposed  ? tensor.t()
                    : row->held == Held::as_vector ? tensor.flatten()
                                                   : tensor;
  }
  model.tensors = std::move(result);
}

TensorEntry renamed(TensorEntry entry, std::string name) {
  entry.name = std::move(name);
  return entry;
}

TensorEntry transposed(TensorEntry entry) {
  std::swap(entry.shape[0], entry.shape[1]);
  std::swap(entry.strides[0], entry.strides[1]);
  return entry;
}

TensorEntry row_of(TensorEntry entry, int64_t i, std::string name) {
  entry.data += i * entry.strides[0] * element_bytes(entry.dtype);
  entry.shape.erase(entry.shape.begin());
  entry.strides.erase(entry.strides.begin());
  return renamed(std::move(entry), std::move(name));
}

}  // namespace wkv::zoo
