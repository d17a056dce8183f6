// Images among classes that are given as words: prompt ensembles over the text tower (arXiv 2103.00020, section 3.1.4).
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "wkv/export.h"
#include "wkv/models/rwkv_clip.h"
#include "wkv/zoo/labels.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

// What a class is in the space of images: its prompts' features [prompts, C], each normalised, their mean, normalised
// again: [C].
WKV_API at::Tensor class_vector(const at::Tensor& prompt_features);

// fp32 [C, classes]: the class vectors, each of all templates filled with all of the class's names. progress: told
// after each batch how many prompts were read. Throws wkv::Error for no classes, no templates, and what encode_texts
// throws.
WKV_API at::Tensor zero_shot_classifier(models::RWKVCLIPImpl& model, const Tokenizer& tokenizer,
                                        const std::vector<ClassNames>& labels,
                                        const std::vector<std::string>& templates,
                                        const std::function<void(int64_t prompts)>& progress = {});

// 100 * normalised image features [B, C] @ classifier [C, classes]: the logits [B, classes] of the published
// evaluation; their softmax is the classes' probabilities.
WKV_API at::Tensor zero_shot_logits(const at::Tensor& image_features, const at::Tensor& classifier);

}  // namespace wkv::zoo
