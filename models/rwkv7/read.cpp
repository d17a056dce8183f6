#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>

#include "layers/addresses.h"
#include "layers/product.h"
#include "rwkv7/fused.h"
#include "wkv/ops.h"

namespace wkv::models {
namespace {

// One call of read_blocks: x [B, T, C] on its way through the blocks.
class Rwkv7Reading {
 public:
  Rwkv7Reading(const at::Tensor& x, const rwkv7::Functions& functions, ParameterType type, const RWKV7TimeMix& att)
      : functions_(functions),
        type_(type),
        rows_(x.size(0)),
        time_(x.size(1)),
        heads_(att.heads),
        head_size_(att.head_size),
        eps_(static_cast<float>(att.ln_x->eps)),
        options_(x.options()),
        x_(x.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).view({-1, x.size(2)})) {}

  void run(const RWKV7Block& block, State::Entry* entries) {
    mix_time(block, entries);
    added_ = gated_output(*block.att);
    added_bias_ = block.att_bias;

    const RWKV7ChannelMix& ffn = *block.ffn;
    const at::Tensor input = rows();
    mix(*block.ln2, {ffn.x_k}, {input}, entries[2].tensor);
    const at::Tensor hidden = ffn.key->forward(input);
    functions_.square_relu(type_, hidden.mutable_data_ptr(), hidden.numel());
    added_ = ffn.value->forward(hidden);
    added_bias_ = at::Tensor();
  }

  at::Tensor output() const { return (x_ + added_).to(options_.dtype()).view({rows_, time_, -1}); }

 private:
  at::Tensor rows() const { return at::empty({rows_ * time_, heads_ * head_size_}, options_); }

  // x_ += what is still to be added; its normalised rows mixed with their predecessors.
  void mix(const LayerNorm& norm, const std::vector<at::Tensor>& mixes, const std::vector<at::Tensor>& mixed,
           at::Tensor& shift) {
    std::vector<const void*> mix_rows;
    std::vector<void*> mixed_rows;
    for (const at::Tensor& tensor : mixes) mix_rows.push_back(tensor.const_data_ptr());
    for (const at::Tensor& tensor : mixed) mixed_rows.push_back(tensor.mutable_data_ptr());
    const at::Tensor before = shift.to(options_.dtype()).contiguous();
    shift = at::empty_like(before);
    functions_.mix({.type = type_,
                    .sequences = rows_,
                    .length = time_,
                    .width = heads_ * head_size_,
                    .x = x_.mutable_data_ptr<float>(),
                    .added = added_.defined() ? added_.const_data_ptr() : nullptr,
                    .added_bias = added_bias_.defined() ? added_bias_.const_data_ptr() : nullptr,
                    .norm_weight = norm.weight.const_data_ptr(),
                    .norm_bias = norm.bias.const_data_ptr(),
                    .count = static_cast<int>(mixes.size()),
                    .mixes = mix_rows.data(),
                    .mixed = mixed_rows.data(),
                    .before = before.const_data_ptr(),
                    .after = shift.mutable_data_ptr()});
  }

  void mix_time(const RWKV7Block& block, State::Entry* entries) {
    const RWKV7TimeMix& att = *block.att;
    std::vector<at::Tensor> mixed;
    for (int i = 0; i < 6; ++i) mixed.push_back(rows());
    mix(*block.ln1, {att.x_r, att.x_w, att.x_k, att.x_v, att.x_a, att.x_g}, mixed, entries[0].tensor);
    r_ = att.receptance->forward(mixed[0]);
    k_ = att.key->forward(mixed[2]);
    v_ = att.value->forward(mixed[3]);
    const at::Tensor decay = matrix_product(matrix_product(mixed[1], att.w1).tanh_(), att.w2),
                     rate = matrix_product(matrix_product(mixed[4], att.a1), att.a2),
                     residual =
                         att.layer == 0 ? at::Tensor() : matrix_product(matrix_product(mixed[3], att.v1), att.v2);
    gate_ = matrix_product(matrix_product(mixed[5], att.g1).sigmoid_(), att.g2);
    if (att.layer == 0) first_value_ = v_;

    const at::Tensor w = at::empty(x_.sizes(), x_.options()), a = mixed[0], b = mixed[1];  // not needed any more
    functions_.prepare({.type = type_,
                        .tokens = rows_ * time_,
                        .heads = heads_,
                        .head_size = head_size_,
                        .decay = decay.const_data_ptr(),
                        .rate = rate.const_data_ptr(),
                        .residual = residual.defined() ? residual.const_data_ptr() : nullptr,
                        .w0 = att.w0.const_data_ptr(),
                        .a0 = att.a0.const_data_ptr(),
                        .v0 = att.layer == 0 ? nullptr : att.v0.const_data_ptr(),
                        .k_k = att.k_k.const_data_ptr(),
                        .k_a = att.k_a.const_data_ptr(),
                        .first_value = first_value_.const_data_ptr(),
                        .w = w.mutable_data_ptr<float>(),
                        .k = k_.mutable_data_ptr(),
                        .v = v_.mutable_data_ptr(),
                        .a = a.mutable_data_ptr(),
                        .b = b.mutable_data_ptr()});
    const auto by_head = [&](const at::Tensor& t) { return t.view({rows_, time_, heads_, head_size_}); };
    std::tie(y_, entries[1].tensor) = ops::wkv7(by_head(r_), by_head(w), by_head(k_), by_head(v_), by_head(a),
                                                by_head(b), entries[1].tensor, std::nullopt, /*log_decay=*/true);
  }

  at::Tensor gated_output(const RWKV7TimeMix& att) const {
    const at::Tensor gated = rows();
    functions_.finish({.type = type_,
                       .tokens = rows_ * time_,
                       .heads = heads_,
                       .head_size = head_size_,
                       .eps = eps_,
                       .y = y_.const_data_ptr(),
                       .r = r_.const_data_ptr(),
                       .k = k_.const_data_ptr(),
                       .v = v_.const_data_ptr(),
                       .gate = gate_.const_data_ptr(),
                       .ln_x_weight = att.ln_x->weight.const_data_ptr(),
                       .ln_x_bias = att.ln_x->bias.const_data_ptr(),
                       .r_k = att.r_k.const_data_ptr(),
                       .gated = gated.mutable_data_ptr()});
    return att.output->forward(gated);
  }

  const rwkv7::Functions& functions_;
  const ParameterType type_;
  const int64_t rows_, time_, heads_, head_size_;
  const float eps_;
  const at::TensorOptions options_;
  at::Tensor x_;                                   // fp32 [B T, C]: the residual stream,
  at::Tensor added_, added_bias_;                  // and what it is still to be given
  at::Tensor r_, k_, v_, y_, gate_, first_value_;  // [B T, C], y_ by head
};

bool serve(const RWKV7Block& block, const at::Tensor& x) {
  Addresses addresses(x);
  for (const auto& parameter : block.parameters()) {
    if (parameter.scalar_type() != at::kByte) addresses.parameter(parameter);
  }
  return addresses.all_serve();
}

}  // namespace

std::optional<at::Tensor> read_blocks(const std::vector<std::shared_ptr<RWKV7Block>>& blocks, const at::Tensor& x,
                                      State& state) {
  const auto type = parameter_type(x.scalar_type());
  const rwkv7::Functions* const functions = rwkv7::functions(kind_of(x.device()));
  if (!type || !functions || x.numel() == 0 || blocks.empty() || at::GradMode::is_enabled()) return std::nullopt;
  const RWKV7TimeMix& att = *blocks.front()->att;
  if (!rwkv7::knows_sizes(att.heads, att.head_size)) return std::nullopt;
  for (const auto& block : blocks) {
    if (!serve(*block, x)) return std::nullopt;
  }
  const c10::DeviceGuard guard(x.device());
  Rwkv7Reading reading(x, *functions, *type, att);
  for (size_t i = 0; i < blocks.size(); ++i) reading.run(*blocks[i], &state.entries[3 * i]);
  return reading.output();
}

}  // namespace wkv::models
