// P perspectives of the same sequences as P times as many sequences, the perspectives outermost, so that layers written
// for one run all of them at once.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/sequences.h"
#include "wkv/models/state.h"

namespace wkv::models {

class Perspectives {
 public:
  // sequences: of the call, for as long as this lives; device: where the layers' tensors are.
  Perspectives(int64_t count, const Sequences& sequences, at::Device device);

  // How the folded sequences divide: rows, or packed where the call's are.
  const Sequences& folded() const { return folded_; }
  // x [B, T, C], the same for every perspective, to [P * B, T, C]; packed: [1, T, C] to [1, P * T, C].
  at::Tensor fold(const at::Tensor& x) const;
  // The layers' result to [P, B, T, C].
  at::Tensor unfold(const at::Tensor& x, int64_t batch) const;
  // State entries [S, P, ...] to [P * S, ...], and their new values back.
  State read(const State& state) const;
  void write(State& state, const State& folded) const;

 private:
  int64_t count_;
  const Sequences& sequences_;
  Sequences folded_;
};

}  // namespace wkv::models
