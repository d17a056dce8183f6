// What every model is, and what every language model is.
#pragma once
#include <torch/nn/module.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wkv/export.h"
#include "wkv/models/state.h"

namespace wkv::models {

// A model of any family. Its parameters carry the published checkpoint's names.
class WKV_API Model : public torch::nn::Module {
 public:
  virtual std::string family() const = 0;       // "rwkv7", ...
  virtual std::string config_json() const = 0;  // the upstream config's keys, as a JSON object
};

struct Output {
  at::Tensor logits;  // [B, T, V], fp32 (fp64 for an fp64 model)
  State state;        // after the last token
};

// Parameters that one set of optimizer settings serves: the published training recipe.
struct ParameterGroup {
  std::vector<std::string> names;
  double learning_rate_scale = 1.0;
  bool weight_decay = false;
};

class WKV_API LanguageModel : public Model {
 public:
  // tokens: int64 [B, T], any T >= 0; state: what an earlier call returned, or empty. The same function trains, reads
  // prompts and decodes: cutting a sequence anywhere changes nothing but rounding.
  Output forward(const at::Tensor& tokens, const State& state = {});

  // The two halves of forward, for callers that need the logits of few positions: the final hidden values [B, T, C],
  // and any of them [..., C] to logits [..., V].
  virtual std::pair<at::Tensor, State> hidden(const at::Tensor& tokens, const State& state = {}) = 0;
  virtual at::Tensor logits(const at::Tensor& hidden) = 0;

  // The state before the first token, of B sequences, on the parameters' device: what an empty State stands for.
  virtual State initial_state(int64_t batch) const = 0;
  virtual int64_t vocab_size() const = 0;  // rows of the head

  // Mean cross-entropy of targets [B, T] given tokens [B, T]. The logit penalty (upstream's L2Wrap) adds
  // penalty * max_logit / (B*T) to the gradient of each position's largest logit; the value of the loss doesn't show
  // it. logit_penalty: the factor; none: the family's recipe.
  at::Tensor loss(const at::Tensor& tokens, const at::Tensor& targets,
                  std::optional<double> logit_penalty = std::nullopt);
  // The same from a state, with the state after the last token: for training on a text that is read on and on.
  std::pair<at::Tensor, State> loss_and_state(const at::Tensor& tokens, const at::Tensor& targets, const State& state,
                                              std::optional<double> logit_penalty = std::nullopt);

  // The recipe's groups; every parameter that takes part in training is in one of them.
  virtual std::vector<ParameterGroup> parameter_groups() const = 0;

 protected:
  virtual double recipe_logit_penalty() const { return 1e-4; }
};

}  // namespace wkv::models
