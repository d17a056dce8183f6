// From what a user names to files on this machine.
#include "catalogue/locate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <numeric>
#include <utility>

#include "catalogue/fetch_all.h"
#include "core/ascii.h"
#include "io/printable.h"
#include "wkv/zoo/catalogue.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostNames = 3;     // that an unknown one is answered with
constexpr size_t kLongestName = 80;  // that is looked for: the distances cost its length

// Something is there, or nobody may look.
bool is_path(const std::string& path) {
  std::error_code ignored;
  return fs::status(path, ignored).type() != fs::file_type::not_found;
}

// Levenshtein's, the fewest letters to insert, remove or replace: to the beginning of b that is nearest, because names
// are often typed in part, then to the whole of it.
std::pair<size_t, size_t> edit_distances(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);  // of a's first i letters, to each beginning of b
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({replaced, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return {std::ranges::min(row), row.back()};
}

// The last part of a path, without the ending of a checkpoint: what the catalogue would call it.
std::string name_in(const std::string& path) {
  constexpr std::array<std::string_view, 4> kEndings = {".safetensors", ".pth", ".pt", ".bin"};
  std::string name = fs::path(path).lexically_normal().filename().string();
  for (const std::string_view ending : kEndings) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  return ascii_lower_case(name);
}

// Those that share at least half of their letters with what was typed, the nearest first.
std::vector<std::string> nearest_names(const std::string& typed) {
  const std::string name = name_in(typed);
  if (name.empty() || name.size() > kLongestName) return {};
  std::vector<std::pair<std::pair<size_t, size_t>, std::string>> near;
  for (const Card& card : list_models()) {
    auto distances = edit_distances(name, ascii_lower_case(card.name));
    for (const std::string& alias : card.aliases)
      distances = std::min(distances, edit_distances(name, ascii_lower_case(alias)));
    if (2 * distances.first <= name.size()) near.emplace_back(distances, card.name);
  }
  std::ranges::sort(near);
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(near.size(), kMostNames); ++i) names.push_back(near[i].second);
  return names;
}

}  // namespace

std::optional<Card> card_of_file(const std::string& path) { return find_card(name_in(path)); }

Error unknown_model(const std::string& path_or_name) {
  const std::vector<std::string> names = nearest_names(path_or_name);
  return {ErrorCode::not_found,
          fmt::format("{}: neither a file or folder nor a name of the catalogue{}; `wkv list` shows all",
                      printable(path_or_name),
                      names.empty() ? "" : fmt::format(", where {} is near it", fmt::join(names, " or ")))};
}

std::optional<Card> card_of(const std::string& path_or_name) {
  if (path_or_name != kEmbeddedModel && is_path(path_or_name)) return std::nullopt;
  return find_card(path_or_name);
}

Located locate(const std::string& path_or_name, const FetchProgress& progress) {
  std::optional<Card> card = card_of(path_or_name);
  if (!card) {
    if (!is_path(path_or_name)) throw unknown_model(path_or_name);
    return {path_or_name, std::nullopt};
  }
  if (card->files.empty()) return {card->name, std::move(card)};
  auto files = fetch_all(card->files, progress);
  return {files.front().string(), std::move(card), std::move(files)};
}

}  // namespace wkv::zoo
