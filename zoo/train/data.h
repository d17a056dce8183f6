// The text to train on as tokens, and which of its windows each batch reads.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "wkv/zoo/train.h"

namespace wkv::zoo {

struct TextData {
  at::Tensor train;     // [tokens], uint8, uint16 or int32
  at::Tensor held_out;  // the same, of the bytes behind
  int64_t held_out_bytes = 0;
  double bytes_per_token = 1.0;  // of the training text
  int64_t vocab = 0;             // of the tokenizer
};

// Reads the files, or maps the one that `wkv tokenize` made, and cuts off the held-out part at a UTF-8 character or a
// document. Throws wkv::Error for a file that can't be read, and where there is no text to train on.
WKV_API TextData load_text(const TrainConfig::Data& config);

struct Windows {
  std::vector<int64_t> starts;  // the first token of each row
  std::vector<bool> fresh;  // the row starts from the empty state; else from the one it ended with in the batch before
};

// The windows of every batch of a run: a pure function of the recipe and the batch's number, so that nothing has to be
// saved to continue. Windows have context + 1 tokens (the last one is only predicted); every epoch shifts them all by a
// random offset.
class WKV_API BatchPlan {
 public:
  // Throws wkv::Error when the text is too short.
  BatchPlan(int64_t tokens, const TrainConfig& config);
  Windows batch(int64_t index);
  double epochs(int64_t batches) const;  // that so many batches make

 private:
  void enter_epoch(int64_t epoch);

  bool consecutive_;
  int64_t rows_, context_;
  uint64_t seed_;
  double reset_;
  int64_t stream_;             // tokens that one row reads (consecutive), or all rows together
  int64_t windows_per_epoch_;  // of one stream
  int64_t epoch_ = -1;
  int64_t offset_ = 0;
  std::vector<int64_t> permutation_;
};

// int64 [rows, context + 1]
WKV_API at::Tensor gather_windows(const at::Tensor& tokens, const std::vector<int64_t>& starts, int64_t context);

}  // namespace wkv::zoo
