// A checkpoint as users name it, by a path or by a name of the catalogue, and what configures it.
#pragma once
#include <string>

#include "mapping/match.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::zoo {

struct NamedCheckpoint {
  // config: as in LoadOptions; a card's configuration says what it doesn't. Fetches what is missing. Throws wkv::Error
  // as locate and open_tensors do.
  NamedCheckpoint(const std::string& path_or_name, const std::string& given_config, const FetchProgress& progress = {});

  // As the function; of a card, the family must be the one that it says.
  MatchedModel match(const std::string& forced_family = {});

  Located located;
  Checkpoint checkpoint;
  Config config;
};

}  // namespace wkv::zoo
