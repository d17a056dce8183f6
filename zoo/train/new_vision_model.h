// New vision models with their published initial values, from upstream's configuration keys.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wkv/export.h"
#include "wkv/models/rwkv_clip.h"
#include "wkv/models/vision_model.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

// The families that a recipe may name.
WKV_API std::vector<std::string> new_vision_model_families();

// Both read model.config; keys that it leaves out have upstream's defaults; torch's default generator draws the random
// values. Throw wkv::Error for a configuration that is missing, has a key that is unknown, or fits no model.

// vrwkv, vrwkv6. pipeline: empty: mm224 for images of 224, else vl and the size.
WKV_API std::shared_ptr<models::VisionModel> new_classifier(const TrainConfig::Model& model, int64_t classes,
                                                            const std::string& pipeline);
// vocab: the tokenizer's, which vocab_size has to be where it is given.
WKV_API std::shared_ptr<models::RWKVCLIPImpl> new_rwkv_clip(const TrainConfig::Model& model, int64_t vocab);

}  // namespace wkv::zoo
