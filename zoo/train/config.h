// What the trainer asks about recipes beyond reading them.
#pragma once
#include <string>

#include "wkv/zoo/train.h"

namespace wkv::zoo {

// The first key whose values make two runs different, "" when a run of one can go on with the other.
WKV_API std::string first_difference(const TrainConfig& a, const TrainConfig& b);

}  // namespace wkv::zoo
