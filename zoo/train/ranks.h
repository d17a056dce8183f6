// What the ranks of a run have to agree on before its first step.
#pragma once
#include <filesystem>
#include <optional>

#include "train/process_group.h"
#include "train/task.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

// This rank's part of each batch; ranks null: this process is alone. Throws wkv::Error where the number of ranks
// doesn't divide what it has to.
WKV_API Rank rank_of(const TrainConfig& config, ProcessGroup* ranks);

// The first key by which two ranks' recipes differ, "" for none; `threads` may.
WKV_API std::string recipe_difference(const std::string& json, const std::string& other_json);

// Throw wkv::Error, on all ranks the same, that names the first rank with another recipe than rank 0, or that sees
// another newest checkpoint.
void require_same_recipe(const TrainConfig& config, ProcessGroup& ranks);
void require_same_checkpoint(const std::optional<std::filesystem::path>& newest, const TrainConfig& config,
                             ProcessGroup& ranks);

}  // namespace wkv::zoo
