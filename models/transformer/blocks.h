// The parts of the Transformer: attention, MLP, and the layer around them; names and shapes as in transformers' LLaMA.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "core/sequences.h"
#include "layers/linear.h"
#include "layers/rotary.h"
#include "wkv/models/state.h"
#include "wkv/models/transformer.h"

namespace wkv::models {

// What a call's layers share, beside their input.
struct AttentionCall {
  Sequences sequences;
  Rotation rotation;             // of the call's positions
  std::vector<int64_t> lengths;  // of each sequence's past; the state's may have zeros ahead of it
  at::Tensor real;               // rows of different lengths: bool [B, P + T], false for those zeros
};

struct SelfAttention : torch::nn::Module {
  explicit SelfAttention(const TransformerOptions& options);
  // x [B, T, C], normalised; entries: past_k and past_v [rows, P, H, N] become those after the last token.
  at::Tensor forward(const at::Tensor& x, State::Entry* entries, const AttentionCall& call) const;

  int64_t head_size;
  std::shared_ptr<Linear> q_proj, k_proj, v_proj, o_proj;
};

// down_proj(silu(gate_proj(x)) * up_proj(x)).
struct SwiGlu : torch::nn::Module {
  explicit SwiGlu(const TransformerOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

  std::shared_ptr<Linear> gate_proj, up_proj, down_proj;
};

struct TransformerLayer : torch::nn::Module {
  explicit TransformerLayer(const TransformerOptions& options);
  // x: the residual stream, in fp32 at least; entries: the layer's two.
  at::Tensor forward(const at::Tensor& x, State::Entry* entries, const AttentionCall& call) const;

  std::shared_ptr<RmsNorm> input_layernorm, post_attention_layernorm;
  std::shared_ptr<SelfAttention> self_attn;
  std::shared_ptr<SwiGlu> mlp;
};

}  // namespace wkv::models
