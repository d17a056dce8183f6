#include "mapping/named_checkpoint.h"

#include <fmt/format.h>

#include <filesystem>

#include "embedded/embedded.h"
#include "wkv/error.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

Checkpoint open_located(const Located& located) {
  const bool embedded = located.card && located.card->files.empty();
  return {embedded ? embedded_tensors(located.card->embedded) : open_tensors(located.path), located.path};
}

// config.json among the card's files; empty: it has none.
std::string config_file(const Located& located) {
  for (size_t i = 0; i < located.files.size(); ++i) {
    const std::filesystem::path name = located.card->files[i].path;
    if (name.filename() == "config.json") return located.files[i].string();
  }
  return {};
}

Config config_of(const std::string& given, const Located& located) {
  if (!located.card) return read_config(given, located.path);
  const Card& card = *located.card;
  const auto own = card.config.empty() ? nlohmann::json::object() : nlohmann::json::parse(card.config);
  const std::string text_or_path = given.empty() ? config_file(located) : given;
  if (text_or_path.empty()) return {own, fmt::format("the card {}", card.name)};
  Config config = read_config(text_or_path, located.path);
  config.fill(own);
  return config;
}

}  // namespace

NamedCheckpoint::NamedCheckpoint(const std::string& path_or_name, const std::string& given_config,
                                 const FetchProgress& progress)
    : located(locate(path_or_name, progress)),
      checkpoint(open_located(located)),
      config(config_of(given_config, located)) {}

MatchedModel NamedCheckpoint::match(const std::string& forced_family) {
  MatchedModel matched = zoo::match(checkpoint, forced_family, config);
  if (located.card && forced_family.empty() && located.card->family != matched.family->name) {
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: its tensors are those of {}, but the card {} says {}", checkpoint.path(),
                            matched.family->name, located.card->name, located.card->family));
  }
  return matched;
}

}  // namespace wkv::zoo
