// Names that are near those of the catalogue.
#pragma once
#include <optional>
#include <string>

#include "wkv/error.h"
#include "wkv/export.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::zoo {

// not_found, with the names of the catalogue that are nearest.
Error unknown_model(const std::string& path_or_name);

// The card that knows a checkpoint by its file's name, which upstream gave it; none: there is no such card.
WKV_API std::optional<Card> card_of_file(const std::string& path);

}  // namespace wkv::zoo
