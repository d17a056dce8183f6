// What every language model is.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wkv/models/model.h"
#include "wkv/models/state.h"

namespace wkv::models {

struct Output {
  at::Tensor logits;  // [B, T, V], fp32 (fp64 for an fp64 model)
  State state;        // after the last token
};

// How tokens [B, T] divide into sequences; at most one of the two is given. Neither: each row is a sequence.
struct SequenceLayout {
  // Rows of different lengths: bool or integer [B, T]. A position with 0, padding on either side, is not read, and its
  // hidden values and logits are zeros and the head's answer to zeros. The state has a row for each row.
  at::Tensor attention_mask = {};
  // Packing: int32 or int64 [S + 1], from 0 to T. The one row of tokens [1, T] holds S sequences, one after another,
  // and the state has S rows.
  at::Tensor cu_seqlens = {};
};

// Parameters that one set of optimizer settings serves: the published training recipe.
struct ParameterGroup {
  std::vector<std::string> names;
  double learning_rate_scale = 1.0;
  bool weight_decay = false;
};

struct Sequences;  // core/sequences.h: a layout as the layers see it

class WKV_API LanguageModel : public Model {
 public:
  // tokens: int64 [B, T], any T >= 0; state: what an earlier call returned, or empty. The same function trains, reads
  // prompts and decodes: cutting a sequence anywhere, padding and packing change nothing but rounding. Throws
  // wkv::Error for tokens outside of the vocabulary, a state of another model or batch, and logits that the machine's
  // memory can't hold.
  Output forward(const at::Tensor& tokens, const State& state = {}, const SequenceLayout& layout = {});

  // The two halves of forward, for callers that need the logits of few positions: the final hidden values [B, T, C],
  // and any of them [..., C] to logits [..., V].
  std::pair<at::Tensor, State> hidden(const at::Tensor& tokens, const State& state = {},
                                      const SequenceLayout& layout = {});
  virtual at::Tensor logits(const at::Tensor& hidden) = 0;

  // A prompt of any length in bounded memory: reads `block` positions at a time. Returns the final hidden values of
  // each row's last token [B, C], zeros for a row without tokens, and the state after it.
  std::pair<at::Tensor, State> read(const at::Tensor& tokens, const State& state = {},
                                    const at::Tensor& attention_mask = {}, int64_t block = 512);

  // The state before the first token, of B sequences, on the parameters' device: what an empty State stands for.
  State initial_state(int64_t batch) const;
  // One more token for some of many sequences: a pool is a State whose rows are slots, and tokens[i] goes to slot
  // slots[i] (int64 [B], distinct). Their rows are read and written in place; no gradient. Returns the final hidden
  // values [B, C]. Throws wkv::Error as forward, and for a model whose state grows (State::grows).
  at::Tensor decode(const at::Tensor& tokens, State& pool, const at::Tensor& slots);

  virtual int64_t vocab_size() const = 0;  // rows of the head

  // Mean cross-entropy of targets [B, T] given tokens [B, T], over the positions that the layout reads and whose target
  // is not -100. The logit penalty (upstream's L2Wrap) adds penalty * max_logit / (number of positions) to the gradient
  // of each position's largest logit; the value of the loss doesn't show it. logit_penalty: the factor; none: the
  // family's recipe.
  at::Tensor loss(const at::Tensor& tokens, const at::Tensor& targets,
                  std::optional<double> logit_penalty = std::nullopt, const SequenceLayout& layout = {});
  // The same from a state, with the state after the last token: for training on a text that is read on and on.
  std::pair<at::Tensor, State> loss_and_state(const at::Tensor& tokens, const at::Tensor& targets, const State& state,
                                              std::optional<double> logit_penalty = std::nullopt,
                                              const SequenceLayout& layout = {});

  // Gradient checkpointing: training keeps what goes into each block, and computes the rest of it a second time in the
  // backward pass. The gradients are the same, bit for bit.
  void set_gradient_checkpointing(bool on) { gradient_checkpointing_ = on; }

  // The recipe's groups; every parameter that takes part in training is in one of them.
  virtual std::vector<ParameterGroup> parameter_groups() const = 0;

 protected:
  bool gradient_checkpointing() const { return gradient_checkpointing_; }

  // An entry of the model's State, as it is before the first token.
  struct StateEntry {
    std::string name;
    std::vector<int64_t> shape;  // of one sequence
    at::ScalarType dtype;
    double start = 0;         // every element's value, or
    at::Tensor learned = {};  // the values, [shape], where a checkpoint has them
  };
  virtual std::vector<StateEntry> state_entries() const = 0;

  // tokens [B, T] to the final hidden values [B, T, C]; the state, whose entries are those of state_entries() with a
  // row for each sequence, is replaced by that after the last token, or, where the sequences lie in slots, written in
  // place.
  virtual at::Tensor run(const at::Tensor& tokens, State& state, const Sequences& sequences) = 0;

  virtual double recipe_logit_penalty() const { return 1e-4; }

 private:
  std::pair<at::Tensor, State> hidden_of(const at::Tensor& tokens, const State& state, const Sequences& sequences);
  void check_state(const State& state, int64_t rows) const;

  bool gradient_checkpointing_ = false;
};

}  // namespace wkv::models
