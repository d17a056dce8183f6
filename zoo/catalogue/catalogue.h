// All cards that are known, found by their names.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::zoo {

class Catalogue {
 public:
  // embedded: {"models": [...], "data": [...]}. folder: more cards, *.json and data/*.json, which take precedence;
  // empty: none. Throws wkv::Error for a card that isn't one, and where two cards of one origin have the same name.
  WKV_API Catalogue(std::string_view embedded, const std::filesystem::path& folder);

  WKV_API std::vector<Card> list_models(std::string_view pattern) const;
  WKV_API const Card* find_card(std::string_view name) const;  // null: there is none
  WKV_API const DataCard* find_data(std::string_view kind, std::string_view name) const;

 private:
  template <typename AnyCard>
  struct Sourced {
    AnyCard card;
    std::string where;  // it was read, for messages
  };
  void add(std::vector<Sourced<Card>> models);
  void add(std::vector<Sourced<DataCard>> data);

  std::vector<Card> models_;
  std::map<std::string, size_t> names_;  // names and aliases in lower case; what they mean in models_
  std::map<std::pair<std::string, std::string>, DataCard> data_;  // by kind and name
};

}  // namespace wkv::zoo
