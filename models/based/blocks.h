// The parts of BASED: its three mixers, its MLP, and the layer around them; names and shapes as in the published
// checkpoints.
#pragma once
#include <torch/nn/modules/container/modulelist.h>

#include <memory>

#include "based/options.h"
#include "core/sequences.h"
#include "layers/linear.h"
#include "layers/rotary.h"

namespace wkv::models {

// What a call's layers share, beside their input.
struct BasedCall {
  Sequences sequences;
  Rotation rotation;       // of the call's positions
  at::Tensor past_length;  // int64 [rows]: how many rows of a window are real
};

struct WKV_API BasedMixer : torch::nn::Module {
  // x [B, T, C], normalised; the layer's entries of the state become those after the last token.
  virtual at::Tensor forward(const at::Tensor& x, State::Entry* entries, const BasedCall& call) const = 0;
};

// out_proj(silu(conv(a)) * b), where [a, b] = in_proj(x). Entry: the last inputs of the convolution [D, K].
struct WKV_API BasedConvolution : BasedMixer {
  explicit BasedConvolution(const BasedOptions& options);
  at::Tensor forward(const at::Tensor& x, State::Entry* entries, const BasedCall& call) const override;

  std::shared_ptr<Linear> in_proj, out_proj;
  at::Tensor weight;  // conv.conv.weight [D, 1, K]
};

// Entries: the sums kv [H, F, N] and k [H, F] over the past for each distinct feature.
struct BasedLinearAttention : BasedMixer {
  explicit BasedLinearAttention(const BasedOptions& options);
  at::Tensor forward(const at::Tensor& x, State::Entry* entries, const BasedCall& call) const override;

  int64_t heads, feature_size;
  std::shared_ptr<Linear> proj_q, proj_k, proj_v, out_proj;

 private:
  at::Tensor step(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, State::Entry* entries,
                  const Sequences& sequences) const;
  at::Tensor scan(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, State::Entry* entries,
                  const Sequences& sequences) const;
  // The features of the op's states [1 + d + d^2] as rows of ours, and the other way.
  at::Tensor distinct_of_full_, full_of_distinct_;
};

// Entries: the window's keys and values [R, H, N].
struct BasedSlidingAttention : BasedMixer {
  explicit BasedSlidingAttention(const BasedOptions& options);
  at::Tensor forward(const at::Tensor& x, State::Entry* entries, const BasedCall& call) const override;

  int64_t heads, keys_back;
  std::shared_ptr<Linear> qkv, out_proj;
};

// fc2(y * silu(gate)), where [y, gate] = fc1(x).
struct BasedMlp : torch::nn::Module {
  explicit BasedMlp(const BasedOptions& options);
  at::Tensor forward(const at::Tensor& x) const;

  std::shared_ptr<Linear> fc1, fc2;
};

struct BasedLayer : torch::nn::Module {
  BasedLayer(const BasedOptions& options, int64_t layer);
  // x: the residual stream, in fp32 at least.
  at::Tensor forward(const at::Tensor& x, State::Entry* entries, const BasedCall& call) const;

  std::shared_ptr<RmsNorm> norm1, norm2;
  std::shared_ptr<BasedMixer> mixer;
  std::shared_ptr<BasedMlp> mlp;
};

}  // namespace wkv::models
