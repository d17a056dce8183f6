// How well a model predicts the held-out text.
#pragma once
#include "train/data.h"
#include "wkv/models/language_model.h"

namespace wkv::zoo {

// Bits per byte of the whole held-out text, read once from front to end with the state that the end of the training
// text left; by a model whose state grows in windows of `context` tokens, the training's, of which the second half
// counts. In the parameters' precision, whatever the precision of training.
WKV_API double held_out_bits_per_byte(models::LanguageModel& model, const TextData& data, int64_t context);

}  // namespace wkv::zoo
