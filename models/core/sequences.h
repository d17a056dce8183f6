// How the tokens of one call divide into sequences, and where each one's state lies: what a layer must know beside its
// input. Three forms, made once a call:
//   rows      x [B, T, C], a sequence each; state [B, ...]
//   packed    x [1, T, C], S sequences one after another; state [S, ...]
//   in_slots  x [B, 1, C], one token each; the state of row b is row slots[b] of a pool [P, ...], written in place
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

#include "wkv/export.h"

namespace wkv::models {

struct WKV_API Sequences {
  static Sequences rows(int64_t batch);
  // cu_seqlens: int64 [S + 1] on the CPU, from 0, not decreasing. device: where the layers' tensors are.
  static Sequences packed(const at::Tensor& cu_seqlens, at::Device device);
  static Sequences in_slots(const at::Tensor& slots);

  // A state entry's rows for these sequences, and their new values back into it.
  at::Tensor read(const at::Tensor& entry) const;
  void write(at::Tensor& entry, const at::Tensor& rows) const;

  int64_t count = 0;                     // of sequences
  std::optional<at::Tensor> cu_seqlens;  // packed: int64 [S + 1], on the CPU
  std::optional<at::Tensor> slots;       // in_slots: int64 [B]
  // packed: rows of [state; tokens], S + T of them, where each position's predecessor is [T], and each sequence's last
  // token [S].
  at::Tensor previous, last;
};

}  // namespace wkv::models
