#include "core/sequence_layout.h"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "wkv/error.h"

namespace wkv::models {
namespace {

[[noreturn]] void refuse_argument(const std::string& model, const char* expected, const at::Tensor& got) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: {}, got {} [{}]", model, expected, c10::toString(got.scalar_type()),
                          fmt::join(got.sizes().vec(), ", ")));
}

bool is_index_type(at::ScalarType dtype) { return dtype == at::kLong || dtype == at::kInt; }

void check_boundaries(const std::string& model, const at::Tensor& boundaries, int64_t time) {
  const at::Tensor values = boundaries.to(at::kCPU, at::kLong).contiguous();
  const auto* bound = values.const_data_ptr<int64_t>();
  const int64_t count = values.size(0) - 1;
  bool good = bound[0] == 0 && bound[count] == time;
  for (int64_t s = 0; s < count; ++s) good = good && bound[s] <= bound[s + 1];
  if (!good) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: cu_seqlens must go from 0 to T = {} and not decrease, got {}..{}", model, time,
                            bound[0], bound[count]));
  }
}

}  // namespace

void check_layout(const std::string& model, const at::Tensor& tokens, const SequenceLayout& layout) {
  const auto& [mask, boundaries] = layout;
  if (mask.defined() && boundaries.defined()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: attention_mask and cu_seqlens exclude each other", model));
  }
  if (mask.defined() && (mask.sizes() != tokens.sizes() || mask.is_floating_point() || mask.is_complex())) {
    refuse_argument(model, "attention_mask must be bool or integer, of the shape of tokens", mask);
  }
  if (!boundaries.defined()) return;
  if (boundaries.dim() != 1 || boundaries.size(0) < 1 || !is_index_type(boundaries.scalar_type())) {
    refuse_argument(model, "cu_seqlens must be int32 or int64 [S + 1]", boundaries);
  }
  if (tokens.size(0) != 1) refuse_argument(model, "with cu_seqlens tokens must be [1, T]", tokens);
  check_boundaries(model, boundaries, tokens.size(1));
}

void check_slots(const std::string& model, const at::Tensor& slots, int64_t tokens, int64_t pool_rows) {
  if (!slots.defined() || slots.dim() != 1 || slots.size(0) != tokens || slots.scalar_type() != at::kLong) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: slots must be int64 [{}], one for each token", model, tokens));
  }
  if (!slots.is_cpu()) return;  // to look at them would be to wait for the device
  const at::Tensor values = slots.contiguous();
  std::set<int64_t> seen;
  for (int64_t i = 0; i < tokens; ++i) {
    const int64_t slot = values.const_data_ptr<int64_t>()[i];
    if (slot < 0 || slot >= pool_rows || !seen.insert(slot).second) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: slots must be distinct and in 0..{}, got {}", model, pool_rows - 1, slot));
    }
  }
}

at::Tensor PackedRows::pick(const at::Tensor& rows) const {
  return rows.flatten().index_select(0, positions).unsqueeze(0);
}

at::Tensor PackedRows::spread(const at::Tensor& packed) const {
  const at::Tensor zeros = at::zeros({sizes[0] * sizes[1], packed.size(2)}, packed.options());
  return zeros.index_copy(0, positions, packed.squeeze(0)).view({sizes[0], sizes[1], packed.size(2)});
}

PackedRows pack_rows(const at::Tensor& tokens, const at::Tensor& attention_mask) {
  const at::Tensor mask = attention_mask.to(tokens.device(), at::kBool);
  const at::Tensor ends = mask.sum(1).cumsum(0).to(at::kCPU);
  return {.positions = mask.flatten().nonzero().squeeze(1),
          .cu_seqlens = at::cat({at::zeros({1}, at::kLong), ends}),
          .sizes = tokens.sizes().vec()};
}

at::Tensor last_values(const at::Tensor& values, const at::Tensor& attention_mask, const at::Tensor& otherwise) {
  const int64_t time = values.size(1);
  if (time == 0) return otherwise;
  if (!attention_mask.defined()) return values.select(1, time - 1);
  const at::Tensor mask = attention_mask.to(values.device(), at::kBool);
  const at::Tensor index = (mask * at::arange(1, time + 1, mask.options().dtype(at::kLong))).amax(1) - 1;  // -1: none
  const at::Tensor picked = values.index({at::arange(values.size(0), index.options()), index.clamp_min(0)});
  return at::where((index < 0).unsqueeze(1), otherwise, picked);
}

}  // namespace wkv::models
