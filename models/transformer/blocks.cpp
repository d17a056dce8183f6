// The Transformer's layers, on PyTorch's fused attention.
#include "transformer/blocks.h"

#include <ATen/ops/scaled_dot_product_attention.h>

#include "transformer/append.h"

namespace wkv::models {
namespace {

// Of the S keys and values [B, S, H, N] the last T are those of the queries [B, T, H, N], and a query sees none behind
// its own. real: bool [B, S], the keys that may be seen; undefined: all.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& real) {
  const int64_t queries = q.size(1), keys = k.size(1);
  std::optional<at::Tensor> mask;  // torch's own causal form begins at the first key
  if (real.defined() || (queries > 1 && queries < keys))
    mask = at::ones({queries, keys}, q.options().dtype(at::kBool)).tril_(keys - queries);
  if (real.defined()) mask = mask->logical_and(real.unsqueeze(1).unsqueeze(1));
  return at::scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask,
                                          /*dropout_p=*/0, /*is_causal=*/!mask && queries > 1)
      .transpose(1, 2);
}

// Packed sequences, one after another; the pasts after them have zeros ahead of the shorter ones.
at::Tensor attend_packed(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, State::Entry* entries,
                         const AttentionCall& call) {
  at::Tensor &past_k = entries[0].tensor, &past_v = entries[1].tensor;
  const int64_t rows = past_k.size(1);
  const auto* bounds = call.sequences.cu_seqlens->const_data_ptr<int64_t>();
  std::vector<at::Tensor> results = {q.narrow(1, 0, 0)};  // with no sequence, the result is empty
  std::vector<State> pasts;
  for (int64_t s = 0; s < call.sequences.count; ++s) {
    const auto own = [&](const at::Tensor& x) { return x.slice(1, bounds[s], bounds[s + 1]); };
    const auto own_past = [&](const at::Tensor& past) {
      return past.narrow(0, s, 1).slice(1, rows - call.lengths[static_cast<size_t>(s)]);
    };
    const at::Tensor all_k = append(own_past(past_k), own(k)), all_v = append(own_past(past_v), own(v));
    results.push_back(attend(own(q), all_k, all_v, /*real=*/{}));
    pasts.push_back({{{"past_k", all_k}, {"past_v", all_v}}});
  }
  if (!pasts.empty()) {
    const State joined = State::cat(pasts);
    past_k = joined.entries[0].tensor;
    past_v = joined.entries[1].tensor;
  }
  return at::cat(results, 1);
}

}  // namespace

SelfAttention::SelfAttention(const TransformerOptions& o)
    : head_size(o.head_size),
      q_proj(register_module("q_proj", std::make_shared<Linear>(o.width, o.width))),
      k_proj(register_module("k_proj", std::make_shared<Linear>(o.width, o.width))),
      v_proj(register_module("v_proj", std::make_shared<Linear>(o.width, o.width))),
      o_proj(register_module("o_proj", std::make_shared<Linear>(o.width, o.width))) {}

at::Tensor SelfAttention::forward(const at::Tensor& x, State::Entry* entries, const AttentionCall& call) const {
  const auto by_head = [&](const at::Tensor& t) {
    return t.view({x.size(0), x.size(1), t.size(2) / head_size, head_size});
  };
  const at::Tensor q = call.rotation.apply(by_head(q_proj->forward(x))),
                   k = call.rotation.apply(by_head(k_proj->forward(x))), v = by_head(v_proj->forward(x));
  if (call.sequences.cu_seqlens) return o_proj->forward(attend_packed(q, k, v, entries, call).flatten(2));
  entries[0].tensor = append(entries[0].tensor, k);
  entries[1].tensor = append(entries[1].tensor, v);
  return o_proj->forward(attend(q, entries[0].tensor, entries[1].tensor, call.real).flatten(2));
}

SwiGlu::SwiGlu(const TransformerOptions& o)
    : gate_proj(register_module("gate_proj", std::make_shared<Linear>(o.width, o.ffn_width))),
      up_proj(register_module("up_proj", std::make_shared<Linear>(o.width, o.ffn_width))),
      down_proj(register_module("down_proj", std::make_shared<Linear>(o.ffn_width, o.width))) {}

at::Tensor SwiGlu::forward(const at::Tensor& x) const {
  return down_proj->forward(at::silu(gate_proj->forward(x)) * up_proj->forward(x));
}

TransformerLayer::TransformerLayer(const TransformerOptions& o)
    : input_layernorm(register_module("input_layernorm", std::make_shared<RmsNorm>(o.width, o.norm_eps))),
      post_attention_layernorm(
          register_module("post_attention_layernorm", std::make_shared<RmsNorm>(o.width, o.norm_eps))),
      self_attn(register_module("self_attn", std::make_shared<SelfAttention>(o))),
      mlp(register_module("mlp", std::make_shared<SwiGlu>(o))) {}

at::Tensor TransformerLayer::forward(const at::Tensor& x, State::Entry* entries, const AttentionCall& call) const {
  const at::Tensor attended = x + self_attn->forward(input_layernorm->forward(x), entries, call);
  return attended + mlp->forward(post_attention_layernorm->forward(attended));
}

}  // namespace wkv::models
