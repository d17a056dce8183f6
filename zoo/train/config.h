// What the trainer asks about recipes beyond reading them.
#pragma once
#include <string>
#include <vector>

#include "wkv/zoo/train.h"

namespace wkv::zoo {

// The first key whose values make two runs different, "" when a run of one can go on with the other.
WKV_API std::string first_difference(const TrainConfig& a, const TrainConfig& b);

// Throws wkv::Error, which names the first of these keys, or of the keys of a section that ends in a dot, that is not
// as by default: it says nothing to what is trained, a model of this family.
WKV_API void require_defaults(const TrainConfig& config, const std::vector<std::string>& keys,
                              const std::string& family);

}  // namespace wkv::zoo
