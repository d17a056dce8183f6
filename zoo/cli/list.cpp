// `wkv list`: the models of the catalogue.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/commands.h"

namespace wkv::cli {
namespace {

struct ListArguments {
  std::string pattern = "*", family, task, size;
  bool json = false;
};

// "500m", "2.9b": a number of parameters; none: it isn't one.
std::optional<double> parse_size(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, text.data() + text.size());
  if (error != std::errc() || value < 0) return std::nullopt;
  if (unit.empty()) return value;
  if (unit == "m" || unit == "M") return value * 1e6;
  if (unit == "b" || unit == "B") return value * 1e9;
  return std::nullopt;
}

std::string short_count(std::optional<int64_t> parameters) {
  if (!parameters) return "-";
  const auto value = static_cast<double>(*parameters);
  return value < 1e9 ? fmt::format("{:.1f}M", value * 1e-6) : fmt::format("{:.2f}B", value * 1e-9);
}

using Row = std::array<std::string, 6>;

void print_table(const std::vector<Row>& rows) {
  std::array<size_t, std::tuple_size_v<Row>> widths{};
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  print(text);
}

void run_list(const ListArguments& arguments) {
  const std::optional<double> most = parse_size(arguments.size);
  auto cards = zoo::list_models(arguments.pattern);
  std::erase_if(cards, [&](const zoo::Card& card) {
    return (!arguments.family.empty() && card.family != arguments.family) ||
           (!arguments.task.empty() && card.task != arguments.task) ||
           (most && !(card.parameters && static_cast<double>(*card.parameters) <= *most));
  });
  if (arguments.json) {
    auto list = nlohmann::ordered_json::array();
    for (const auto& card : cards) list.push_back(nlohmann::ordered_json::parse(card.json));
    print(list.dump(2) + "\n");
    return;
  }
  std::vector<Row> rows = {{"name", "family", "parameters", "licence", "verified", "cached"}};
  for (const auto& card : cards) {
    rows.push_back({card.name, card.family, short_count(card.parameters), card.licence.empty() ? "-" : card.licence,
                    card.verified, is_cached(card) ? "yes" : "no"});
  }
  print_table(rows);
}

}  // namespace

bool is_cached(const zoo::Card& card) {
  return std::ranges::all_of(card.files, [](const auto& file) { return zoo::cached(file).has_value(); });
}

void add_list(CLI::App& app) {
  auto* command = app.add_subcommand("list", "The models that are known by name");
  auto arguments = std::make_shared<ListArguments>();
  command->add_option("PATTERN", arguments->pattern, "Names or other names that match it: * any text, ? any character");
  command->add_option("--family", arguments->family, "rwkv4, rwkv7, vrwkv, ...");
  command->add_option("--task", arguments->task,
                      "text-generation, image-classification, image-features, segmentation, image-text");
  command->add_option("--size", arguments->size, "At most so many parameters: 500m, 3b")
      ->check([](const std::string& text) {
        return parse_size(text) ? "" : fmt::format("expected a number, or one with m or b behind it, got {}", text);
      });
  command->add_flag("--json", arguments->json, "The cards as a JSON list");
  command->callback([arguments] { run_list(*arguments); });
}

}  // namespace wkv::cli
