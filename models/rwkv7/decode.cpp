#include "rwkv7/decode.h"

#include "wkv/rwkv7_decode.h"

namespace wkv::models {
namespace {

std::optional<ParameterType> parameter_type(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return ParameterType::kFloat;
    case at::kBFloat16:
      return ParameterType::kBFloat16;
    case at::kHalf:
      return ParameterType::kHalf;
    default:
      return std::nullopt;
  }
}

// Takes the addresses of a model's tensors, and sees whether each is what the step reads.
class Addresses {
 public:
  explicit Addresses(at::ScalarType dtype) : dtype_(dtype) {}

  const void* vector(const at::Tensor& parameter) {
    if (!parameter.defined()) return nullptr;
    fit_ = fit_ && parameter.is_cpu() && parameter.is_contiguous() && parameter.scalar_type() == dtype_;
    return parameter.const_data_ptr();
  }
  DecodeMatrix matrix(const Linear& linear) {
    const at::Tensor& weight = linear.weight;
    fit_ = fit_ && !linear.bias.defined();
    if (!linear.quantized()) return {vector(weight), weight.size(0), weight.size(1)};
    fit_ = fit_ && weight.is_cpu() && weight.is_contiguous();
    return {weight.const_data_ptr(), linear.outputs(), linear.inputs(), weight.size(1)};
  }
  DecodeLowRank low_rank(const at::Tensor& bias, const at::Tensor& down, const at::Tensor& up) {
    if (!down.defined()) return {};
    return {vector(bias), vector(down), vector(up), down.size(1)};
  }
  // A pool's entry [P, ...], of which each row is contiguous.
  void* states(const at::Tensor& entry, at::ScalarType dtype) {
    fit_ = fit_ && entry.is_cpu() && entry.scalar_type() == dtype && entry.select(0, 0).is_contiguous();
    return entry.mutable_data_ptr();
  }

  bool fit() const { return fit_; }

 private:
  at::ScalarType dtype_;
  bool fit_ = true;
};

Rwkv7DecodeLayer layer_of(const RWKV7Block& block, const State::Entry* entries, at::ScalarType dtype,
                          Addresses& addresses) {
  const auto vector = [&](const at::Tensor& parameter) { return addresses.vector(parameter); };
  const auto matrix = [&](const std::shared_ptr<Linear>& linear) { return addresses.matrix(*linear); };
  const RWKV7TimeMix& att = *block.att;
  const RWKV7ChannelMix& ffn = *block.ffn;
  const at::Tensor &att_shift = entries[0].tensor, &wkv = entries[1].tensor, &ffn_shift = entries[2].tensor;
  return {.ln1_weight = vector(block.ln1->weight),
          .ln1_bias = vector(block.ln1->bias),
          .ln2_weight = vector(block.ln2->weight),
          .ln2_bias = vector(block.ln2->bias),
          .x_r = vector(att.x_r),
          .x_w = vector(att.x_w),
          .x_k = vector(att.x_k),
          .x_v = vector(att.x_v),
          .x_a = vector(att.x_a),
          .x_g = vector(att.x_g),
          .receptance = matrix(att.receptance),
          .key = matrix(att.key),
          .value = matrix(att.value),
          .output = matrix(att.output),
          .decay = addresses.low_rank(att.w0, att.w1, att.w2),
          .rate = addresses.low_rank(att.a0, att.a1, att.a2),
          .value_residual = addresses.low_rank(att.v0, att.v1, att.v2),
          .gate = addresses.low_rank({}, att.g1, att.g2),
          .k_k = vector(att.k_k),
          .k_a = vector(att.k_a),
          .r_k = vector(att.r_k),
          .ln_x_weight = vector(att.ln_x->weight),
          .ln_x_bias = vector(att.ln_x->bias),
          .att_bias = vector(block.att_bias),
          .ffn_x_k = vector(ffn.x_k),
          .ffn_key = matrix(ffn.key),
          .ffn_value = matrix(ffn.value),
          .att_shift = addresses.states(att_shift, dtype),
          .ffn_shift = addresses.states(ffn_shift, dtype),
          .wkv = static_cast<float*>(addresses.states(wkv, at::kFloat)),
          .att_shift_stride = att_shift.stride(0),
          .ffn_shift_stride = ffn_shift.stride(0),
          .wkv_stride = wkv.stride(0)};
}

}  // namespace

std::optional<at::Tensor> decode_blocks(const std::vector<std::shared_ptr<RWKV7Block>>& blocks, const at::Tensor& x,
                                        State& pool, const at::Tensor& slots) {
  const auto type = parameter_type(x.scalar_type());
  if (!type || !x.is_cpu() || x.size(0) > kMostDecodeRows || blocks.empty() || pool.batch() == 0) return std::nullopt;
  Addresses addresses(x.scalar_type());
  std::vector<Rwkv7DecodeLayer> layers;
  layers.reserve(blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    layers.push_back(layer_of(*blocks[i], &pool.entries[3 * i], x.scalar_type(), addresses));
  }
  const RWKV7TimeMix& att = *blocks.front()->att;
  const Rwkv7Decode model{.type = *type,
                          .heads = att.heads,
                          .head_size = att.head_size,
                          .ln_x_eps = static_cast<float>(att.ln_x->eps),
                          .layers = layers.data(),
                          .layer_count = static_cast<int64_t>(layers.size())};
  if (!addresses.fit() || !can_decode(model)) return std::nullopt;
  const at::Tensor values = x.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous(),
                   rows = slots.to(at::kLong).contiguous();
  decode(model, rows.const_data_ptr<int64_t>(), values.size(0), values.mutable_data_ptr<float>());
  return values.to(x.scalar_type());
}

}  // namespace wkv::models
