// Models with their published initial values, from a recipe's sizes.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wkv/models/language_model.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

// The families that a recipe may name.
WKV_API std::vector<std::string> new_model_families();

// A model of the recipe's family and sizes, with this vocabulary; torch's default generator draws the random values.
// Throws wkv::Error for sizes that fit no model.
std::shared_ptr<models::LanguageModel> new_model(const TrainConfig::Model& sizes, int64_t vocab);

}  // namespace wkv::zoo
