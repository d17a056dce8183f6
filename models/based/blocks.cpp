// BASED's layers: the equations of the paper and the released models, on the ops short_conv, based_linear_attention and
// sliding_window_attention.
#include "based/blocks.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include "wkv/ops.h"

namespace wkv::models {

// --- gated convolution ---

BasedConvolution::BasedConvolution(const BasedOptions& o)
    : in_proj(register_module("in_proj", std::make_shared<Linear>(o.width, 2 * o.conv_width, /*with_bias=*/true))),
      out_proj(register_module("out_proj", std::make_shared<Linear>(o.conv_width, o.width, /*with_bias=*/true))) {
  const auto outer = register_module("conv", std::make_shared<torch::nn::Module>());
  const auto inner = outer->register_module("conv", std::make_shared<torch::nn::Module>());
  weight = inner->register_parameter("weight", at::empty({o.conv_width, 1, o.conv_kernel}));
}

at::Tensor BasedConvolution::forward(const at::Tensor& x, State::Entry* entries, const BasedCall& call) const {
  const std::vector<at::Tensor> halves = in_proj->forward(x).chunk(2, -1);
  const auto [y, state] =
      ops::short_conv(halves[0], weight, /*bias=*/std::nullopt, call.sequences.read(entries[0].tensor),
                      /*silu=*/true, call.sequences.cu_seqlens);
  call.sequences.write(entries[0].tensor, state);
  return out_proj->forward(y * halves[1]);
}

// --- linear attention ---

BasedLinearAttention::BasedLinearAttention(const BasedOptions& o)
    : heads(o.linear_heads),
      feature_size(o.feature_size),
      proj_q(register_module("proj_q", std::make_shared<Linear>(o.width, o.linear_heads * o.feature_size))),
      proj_k(register_module("proj_k", std::make_shared<Linear>(o.width, o.linear_heads * o.feature_size))),
      proj_v(register_module("proj_v", std::make_shared<Linear>(o.width, o.width))),
      out_proj(register_module("out_proj", std::make_shared<Linear>(o.width, o.width))) {
  // 1, x_i, and of the products (i, j) and (j, i) the one with i <= j.
  const int64_t d = feature_size;
  std::vector<int64_t> distinct(1 + d + d * d), full;
  const auto keep = [&](int64_t feature) {
    distinct[feature] = static_cast<int64_t>(full.size());
    full.push_back(feature);
  };
  for (int64_t feature = 0; feature <= d; ++feature) keep(feature);
  for (int64_t i = 0; i < d; ++i) {
    for (int64_t j = 0; j < i; ++j) distinct[1 + d + i * d + j] = distinct[1 + d + j * d + i];
    for (int64_t j = i; j < d; ++j) keep(1 + d + i * d + j);
  }
  distinct_of_full_ = at::tensor(distinct, at::kLong);
  full_of_distinct_ = at::tensor(full, at::kLong);
}

at::Tensor BasedLinearAttention::forward(const at::Tensor& x, State::Entry* entries, const BasedCall& call) const {
  const auto by_head = [&](const at::Tensor& t) { return t.view({x.size(0), x.size(1), heads, t.size(2) / heads}); };
  const at::Tensor q = by_head(proj_q->forward(x)), k = by_head(proj_k->forward(x)), v = by_head(proj_v->forward(x));
  const bool one_token = x.size(1) == 1 && !call.sequences.cu_seqlens && !at::GradMode::is_enabled();
  const at::Tensor y = one_token ? step(q, k, v, entries, call.sequences) : scan(q, k, v, entries, call.sequences);
  return out_proj->forward(y.flatten(2));
}

at::Tensor BasedLinearAttention::step(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      State::Entry* entries, const Sequences& sequences) const {
  at::Tensor slots;
  if (sequences.slots) {
    slots = *sequences.slots;
  } else {  // the state that was given stays as it is
    for (State::Entry* entry : {&entries[0], &entries[1]}) {
      entry->tensor = entry->tensor.clone(at::MemoryFormat::Contiguous);
    }
    slots = at::arange(q.size(0), q.options().dtype(at::kLong));
  }
  return ops::based_decode_(q.squeeze(1), k.squeeze(1), v.squeeze(1), entries[0].tensor, entries[1].tensor, slots)
      .unsqueeze(1);
}

at::Tensor BasedLinearAttention::scan(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      State::Entry* entries, const Sequences& sequences) const {
  const at::Tensor distinct = distinct_of_full_.to(q.device()), full = full_of_distinct_.to(q.device());
  const at::Tensor kv_before = sequences.read(entries[0].tensor).index_select(2, distinct).transpose(2, 3);
  const at::Tensor k_before = sequences.read(entries[1].tensor).index_select(2, distinct);
  const auto [y, kv_after, k_after] = ops::based_linear_attention(q, k, v, kv_before, k_before, /*normalize=*/true,
                                                                  /*eps=*/1e-12, sequences.cu_seqlens);
  sequences.write(entries[0].tensor, kv_after.transpose(2, 3).index_select(2, full));
  sequences.write(entries[1].tensor, k_after.index_select(2, full));
  return y;
}

// --- sliding attention ---

BasedSlidingAttention::BasedSlidingAttention(const BasedOptions& o)
    : heads(o.heads),
      keys_back(o.window / 2),
      qkv(register_module("Wqkv", std::make_shared<Linear>(o.width, 3 * o.width))),
      out_proj(register_module("out_proj", std::make_shared<Linear>(o.width, o.width))) {}

at::Tensor BasedSlidingAttention::forward(const at::Tensor& x, State::Entry* entries, const BasedCall& call) const {
  const std::vector<at::Tensor> parts =
      qkv->forward(x).view({x.size(0), x.size(1), 3, heads, x.size(2) / heads}).unbind(2);
  const at::Tensor q = call.rotation.apply(parts[0]), k = call.rotation.apply(parts[1]);
  const auto past = [&](const State::Entry& entry) { return call.sequences.read(entry.tensor).to(q.scalar_type()); };
  const auto [y, window_k, window_v] =
      ops::sliding_window_attention(q, k, parts[2], keys_back, /*scale=*/std::nullopt, past(entries[0]),
                                    past(entries[1]), call.past_length, call.sequences.cu_seqlens);
  call.sequences.write(entries[0].tensor, window_k);
  call.sequences.write(entries[1].tensor, window_v);
  return out_proj->forward(y.flatten(2));
}

// --- the layer ---

BasedMlp::BasedMlp(const BasedOptions& o)
    : fc1(register_module("fc1", std::make_shared<Linear>(o.width, 2 * o.ffn_width))),
      fc2(register_module("fc2", std::make_shared<Linear>(o.ffn_width, o.width))) {}

at::Tensor BasedMlp::forward(const at::Tensor& x) const {
  const std::vector<at::Tensor> halves = fc1->forward(x).chunk(2, -1);
  return fc2->forward(halves[0] * at::silu(halves[1]));
}

namespace {

std::shared_ptr<BasedMixer> make_mixer(const BasedOptions& options, int64_t layer) {
  switch (mixing_of_layer(options, layer)) {
    case BasedMixing::linear_attention:
      return std::make_shared<BasedLinearAttention>(options);
    case BasedMixing::sliding_attention:
      return std::make_shared<BasedSlidingAttention>(options);
    default:
      return std::make_shared<BasedConvolution>(options);
  }
}

}  // namespace

BasedLayer::BasedLayer(const BasedOptions& o, int64_t layer)
    : norm1(register_module("norm1", std::make_shared<RmsNorm>(o.width, o.norm_eps))),
      norm2(register_module("norm2", std::make_shared<RmsNorm>(o.width, o.norm_eps))),
      mixer(register_module("mixer", make_mixer(o, layer))),
      mlp(register_module("mlp", std::make_shared<BasedMlp>(o))) {}

at::Tensor BasedLayer::forward(const at::Tensor& x, State::Entry* entries, const BasedCall& call) const {
  const at::Tensor mixed = x + mixer->forward(norm1->forward(x), entries, call);
  return mixed + mlp->forward(norm2->forward(mixed));
}

}  // namespace wkv::models
