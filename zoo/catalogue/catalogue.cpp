#include "catalogue/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "catalogue/card.h"
#include "catalogue/embedded_cards.h"
#include "core/ascii.h"
#include "io/mapped_file.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::uintmax_t kMaxCardBytes = 1 << 20;

// Whether `*`, any number of characters, and `?`, any one, make the pattern the text.
bool matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, after_star = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {  // the last star takes one character more
      p = star + 1;
      t = ++after_star;
    } else {
      return false;
    }
  }
  return std::all_of(pattern.begin() + static_cast<ptrdiff_t>(p), pattern.end(), [](char c) { return c == '*'; });
}

// The *.json of a folder, sorted; none where there is no such folder.
std::vector<fs::path> json_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".json") files.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw Error(ErrorCode::not_found, fmt::format("{}: {}", folder.string(), error.message()));
  std::ranges::sort(files);
  return files;
}

ordered_json read_json_file(const fs::path& path) {
  const auto file = MappedFile::open(path);
  if (file->bytes().size() > kMaxCardBytes) {
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: too large for a card ({} bytes)", path.string(), file->bytes().size()));
  }
  return parse_card_json({reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()}, path.string());
}

// Of the cards that the library carries, for messages.
std::string place_of(const ordered_json& card) {
  const auto name = card.find("name");
  return name != card.end() && name->is_string() ? name->get<std::string>() + ".json" : "a card of the library";
}

[[noreturn]] void refuse_duplicate(const std::string& name, const std::string& one, const std::string& other) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{} and {}: both cards have the name {}", one, other, name));
}

const Catalogue& catalogue() {
  static const Catalogue all = [] {
    const char* folder = std::getenv("WKV_CARDS");
    return Catalogue(embedded_cards(), folder ? folder : "");
  }();
  return all;
}

}  // namespace

Catalogue::Catalogue(std::string_view embedded, const fs::path& folder) {
  const ordered_json all = parse_card_json(embedded, "the library's cards");
  std::vector<Sourced<Card>> models;
  std::vector<Sourced<DataCard>> data;
  for (const ordered_json& json : all.at("models")) models.push_back({read_card(json, place_of(json)), place_of(json)});
  for (const ordered_json& json : all.at("data"))
    data.push_back({read_data_card(json, place_of(json)), place_of(json)});
  add(std::exchange(models, {}));
  add(std::exchange(data, {}));
  if (folder.empty()) return;

  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw Error(ErrorCode::not_found, fmt::format("WKV_CARDS: {} is not a folder", folder.string()));
  }
  for (const fs::path& file : json_files(folder))
    models.push_back({read_card(read_json_file(file), file.string()), file.string()});
  for (const fs::path& file : json_files(folder / "data"))
    data.push_back({read_data_card(read_json_file(file), file.string()), file.string()});
  add(std::move(models));
  add(std::move(data));
}

void Catalogue::add(std::vector<Sourced<Card>> models) {
  std::map<std::string, std::string> places;
  for (auto& [card, where] : models) {
    const auto add_name = [&, &place = where](const std::string& name) {
      const auto [taken, added] = places.emplace(ascii_lower_case(name), place);
      if (!added) refuse_duplicate(name, taken->second, place);
      names_[ascii_lower_case(name)] = models_.size();
    };
    add_name(card.name);
    for (const std::string& alias : card.aliases) add_name(alias);
    models_.push_back(std::move(card));
  }
}

void Catalogue::add(std::vector<Sourced<DataCard>> data) {
  std::map<std::pair<std::string, std::string>, std::string> places;
  for (auto& [card, where] : data) {
    const std::pair key(card.kind, card.name);
    const auto [taken, added] = places.emplace(key, where);
    if (!added) refuse_duplicate(card.name, taken->second, where);
    data_[key] = std::move(card);
  }
}

std::vector<Card> Catalogue::list_models(std::string_view pattern) const {
  const std::string wanted = ascii_lower_case(pattern);
  std::map<std::string, const Card*> found;
  for (const auto& [name, index] : names_) {
    const Card& card = models_[index];
    const bool hidden = &models_[names_.at(card.name)] != &card;
    if (!hidden && matches(wanted, name)) found[card.name] = &card;
  }
  std::vector<Card> cards;
  for (const auto& [name, card] : found) cards.push_back(*card);
  return cards;
}

const Card* Catalogue::find_card(std::string_view name) const {
  const auto found = names_.find(ascii_lower_case(name));
  return found == names_.end() ? nullptr : &models_[found->second];
}

const DataCard* Catalogue::find_data(std::string_view kind, std::string_view name) const {
  const auto found = data_.find({std::string(kind), ascii_lower_case(name)});
  return found == data_.end() ? nullptr : &found->second;
}

std::vector<Card> list_models(std::string_view pattern) { return catalogue().list_models(pattern); }

std::optional<Card> find_card(std::string_view name) {
  const Card* card = catalogue().find_card(name);
  return card ? std::optional(*card) : std::nullopt;
}

std::optional<DataCard> find_data(std::string_view kind, std::string_view name) {
  const DataCard* card = catalogue().find_data(kind, name);
  return card ? std::optional(*card) : std::nullopt;
}

}  // namespace wkv::zoo
