// `wkv info`: what a checkpoint holds, and what the catalogue and the cache know of a model that is called by name.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"

namespace wkv::cli {
namespace {

using nlohmann::ordered_json;

struct InfoArguments {
  std::string model, config;
  bool json = false;
};

// Lines "name  value", as far as there is a value.
class Lines {
 public:
  void add(std::string_view name, const std::string& value) {
    if (!value.empty()) text_ += fmt::format("{:<13} {}\n", name, value);
  }
  void add(std::string_view name, const ordered_json& value) {
    if (!value.is_null()) add(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  std::string text() const { return text_; }

 private:
  std::string text_;
};

std::string millions(int64_t parameters) {
  return fmt::format("{} ({:.2f} million)", parameters, static_cast<double>(parameters) * 1e-6);
}

ordered_json as_json(const zoo::Description& d) {
  ordered_json json = {{"container", d.container},
                       {"family", d.family},
                       {"config", ordered_json::parse(d.config_json)},
                       {"parameters", d.parameters},
                       {"dtypes", ordered_json::object()},
                       {"state_bytes", d.state_bytes},
                       {"tokenizer", d.tokenizer},
                       {"unused_tensors", d.unused_tensors},
                       {"unknown_config_keys", d.unknown_config_keys}};
  for (const auto& [dtype, count] : d.dtypes) json["dtypes"][dtype] = count;
  return json;
}

std::string as_text(const zoo::Description& d, bool guessed_tokenizer) {
  Lines lines;
  lines.add("family", d.family);
  const auto config = ordered_json::parse(d.config_json);
  for (const auto& [key, value] : config.items()) lines.add(key, value);
  lines.add("parameters", millions(d.parameters));
  for (const auto& [dtype, count] : d.dtypes) lines.add("dtype", fmt::format("{} ({} values)", dtype, count));
  lines.add("container", d.container);
  if (d.state_bytes > 0) lines.add("state", fmt::format("{} bytes a sequence", d.state_bytes));
  if (!d.tokenizer.empty()) {
    lines.add("tokenizer", d.tokenizer + (guessed_tokenizer ? " (by the size of the vocabulary)" : ""));
  } else if (d.state_bytes > 0) {
    lines.add("tokenizer", std::string("unknown: name one with --tokenizer"));
  }
  lines.add("not used", fmt::format("{}", fmt::join(d.unused_tensors, ", ")));
  lines.add("unknown keys", fmt::format("{}", fmt::join(d.unknown_config_keys, ", ")));
  return lines.text();
}

// What the cache knows of each file that it has.
ordered_json fetched_files(const zoo::Card& card) {
  auto files = ordered_json::array();
  for (const auto& file : card.files) {
    if (const auto found = zoo::fetched(file)) {
      files.push_back({{"path", found->path.string()},
                       {"size", found->size},
                       {"sha256", found->sha256},
                       {"commit", found->commit}});
    }
  }
  return files;
}

std::string of_file(const zoo::RemoteFile& file) {
  if (!file.size && !file.sha256) return file.path + ", whose size and sha256 show when it is fetched";
  return fmt::format("{}, {} bytes, sha256 {}", file.path, file.size ? std::to_string(*file.size) : "?",
                     file.sha256.value_or("?"));
}

std::string of_figure(const zoo::Figure& figure) {
  return fmt::format("{} on {}: {}{}{} ({})", figure.metric, figure.data, figure.value, figure.unit.empty() ? "" : " ",
                     figure.unit, figure.conditions);
}

std::string meaning_of(const std::string& verified) {
  if (verified == "full") return "this very file was run and gave the figures";
  if (verified == "tiny") return "the family equals the published code on small models; this file was not run";
  return "only the names and shapes of the tensors were checked";
}

std::string as_text(const zoo::Card& card, const ordered_json& fetched) {
  Lines lines;
  lines.add("name", card.name);
  lines.add("other names", fmt::format("{}", fmt::join(card.aliases, ", ")));
  lines.add("description", card.description);
  lines.add("family", card.family);
  lines.add("task", card.task);
  if (card.parameters) lines.add("parameters", millions(*card.parameters));
  if (!card.files.empty() && card.files[0].url.empty())
    lines.add("repository", card.files[0].repository + " at " + card.files[0].revision);
  for (const auto& file : card.files) lines.add("file", of_file(file));
  for (const auto& file : fetched) {
    lines.add("fetched", fmt::format("{}, {} bytes, sha256 {}, commit {}", file["path"].get<std::string>(),
                                     file["size"].get<int64_t>(), file["sha256"].get<std::string>(),
                                     file["commit"].get<std::string>()));
  }
  lines.add("config", card.config);
  lines.add("tokenizer", card.tokenizer);
  lines.add("preprocessing", card.preprocessing);
  if (!card.prompt.empty()) lines.add("prompt", ordered_json(card.prompt).dump());
  lines.add("licence", card.licence.empty() ? "none is stated" : card.licence);
  for (const auto& figure : card.figures) lines.add("figure", of_figure(figure));
  lines.add("verified", card.verified + ": " + meaning_of(card.verified));
  lines.add("notes", ordered_json::parse(card.json).value("notes", ""));
  return lines.text();
}

// Of a name nothing is fetched: its file is described where it is here.
void run_info(const InfoArguments& arguments) {
  const auto card = zoo::card_of(arguments.model);
  const bool here = !card || is_cached(*card);
  std::optional<zoo::Description> d;
  if (here) d = zoo::describe(arguments.model, {.config = arguments.config});
  const ordered_json fetched = card ? fetched_files(*card) : ordered_json();
  if (arguments.json) {
    ordered_json json = d ? as_json(*d) : ordered_json::object();
    if (card) json.update({{"card", ordered_json::parse(card->json)}, {"fetched", fetched}});
    print(json.dump(2) + "\n");
    return;
  }
  std::string text;
  if (card) text += as_text(*card, fetched);
  if (card && d) text += "\n";
  if (d)
    text += as_text(
        *d, /*guessed_tokenizer=*/(!card || card->tokenizer.empty()) && d->tokenizer.find('/') == std::string::npos);
  print(text);
}

}  // namespace

void add_info(CLI::App& app) {
  auto* command = app.add_subcommand("info", "A model's card, and a checkpoint's family, sizes, dtype and state");
  auto arguments = std::make_shared<InfoArguments>();
  command->add_option("MODEL", arguments->model, kModelHelp)->required();
  command->add_option("--config", arguments->config,
                      "Configuration that shapes can't tell: JSON, or the path of a JSON file");
  command->add_flag("--json", arguments->json, "One JSON object instead of lines");
  command->callback([arguments] { run_info(*arguments); });
}

}  // namespace wkv::cli
