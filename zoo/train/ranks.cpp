#include "train/ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "wkv/error.h"

namespace wkv::zoo {

Rank rank_of(const TrainConfig& config, ProcessGroup* ranks) {
  const int64_t index = ranks == nullptr ? 0 : ranks->rank(), count = ranks == nullptr ? 1 : ranks->size();
  const int64_t in_sequence = config.sequence_ranks;
  if (count % in_sequence != 0)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("sequence_ranks must divide the number of ranks, {} (WORLD_SIZE), got {}", count, in_sequence));
  Rank rank{.index = index / in_sequence, .count = count / in_sequence};
  if (config.batch % rank.count != 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("batch must be divisible by the {} ranks that share it, got {}", rank.count, config.batch));
  if (ranks == nullptr) return rank;
  if (in_sequence == 1)
    rank.group = models::ProcessGroup{.name = ranks->name(), .rank = index, .size = count};
  else
    rank.sequence = {.ranks = ranks, .index = index % in_sequence, .count = in_sequence};
  return rank;
}

std::string recipe_difference(const std::string& json, const std::string& other_json) {
  auto a = nlohmann::json::parse(json), b = nlohmann::json::parse(other_json);
  a.erase("threads");
  b.erase("threads");
  const auto difference = nlohmann::json::diff(a.flatten(), b.flatten());
  if (difference.empty()) return "";
  std::string key = difference[0]["path"];  // of a key that is a path itself: /~1optimizer~1beta1
  for (size_t at = key.find("~1"); at != std::string::npos; at = key.find("~1", at)) key.replace(at, 2, ".");
  return key.substr(2);
}

void require_same_recipe(const TrainConfig& config, ProcessGroup& ranks) {
  const auto recipes = ranks.all_gather(to_json(config));
  for (size_t i = 1; i < recipes.size(); ++i) {
    const std::string key = recipe_difference(recipes[0], recipes[i]);
    if (key.empty()) continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("rank {} was started with another {} than rank 0: all ranks need the same recipe", i, key));
  }
}

void require_same_checkpoint(const std::optional<std::filesystem::path>& newest, const TrainConfig& config,
                             ProcessGroup& ranks) {
  const auto names = ranks.all_gather(newest ? newest->filename().string() : "no checkpoint");
  const auto other = std::ranges::find_if(names, [&](const std::string& name) { return name != names[0]; });
  if (other == names.end()) return;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("output: rank 0 finds {} in {} and rank {} {}: it must be one folder that all ranks see",
                          names[0], config.output, other - names.begin(), *other));
}

}  // namespace wkv::zoo
