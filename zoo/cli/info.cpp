// `wkv info`: what a checkpoint holds.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"

namespace wkv::cli {
namespace {

struct InfoArguments {
  std::string model, config;
  bool json = false;
};

void run_info(const InfoArguments& arguments) {
  const zoo::Description d = zoo::describe(arguments.model, {.config = arguments.config});
  const auto config = nlohmann::ordered_json::parse(d.config_json);
  if (arguments.json) {
    nlohmann::ordered_json json = {{"container", d.container},
                                   {"family", d.family},
                                   {"config", config},
                                   {"parameters", d.parameters},
                                   {"dtypes", nlohmann::ordered_json::object()},
                                   {"state_bytes", d.state_bytes},
                                   {"tokenizer", d.tokenizer},
                                   {"unused_tensors", d.unused_tensors},
                                   {"unknown_config_keys", d.unknown_config_keys}};
    for (const auto& [dtype, count] : d.dtypes) json["dtypes"][dtype] = count;
    if (arguments.model == zoo::kEmbeddedModel)
      json["card"] = nlohmann::ordered_json::parse(zoo::embedded_model_card());
    print(json.dump(2) + "\n");
    return;
  }
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<11} {}\n", name, value);
  };
  line("family", d.family);
  for (const auto& [key, value] : config.items())
    line(key, value.is_string() ? value.get<std::string>() : value.dump());
  line("parameters", fmt::format("{} ({:.2f} million)", d.parameters, static_cast<double>(d.parameters) * 1e-6));
  for (const auto& [dtype, count] : d.dtypes) line("dtype", fmt::format("{} ({} values)", dtype, count));
  line("container", d.container);
  if (d.state_bytes > 0) line("state", fmt::format("{} bytes a sequence", d.state_bytes));
  if (!d.tokenizer.empty()) {
    line("tokenizer", d.tokenizer + " (by the size of the vocabulary)");
  } else if (d.state_bytes > 0) {
    line("tokenizer", "unknown: name one with --tokenizer");
  }
  if (!d.unused_tensors.empty()) line("not used", fmt::format("{}", fmt::join(d.unused_tensors, ", ")));
  if (!d.unknown_config_keys.empty()) line("unknown keys", fmt::format("{}", fmt::join(d.unknown_config_keys, ", ")));
  if (arguments.model == zoo::kEmbeddedModel)
    line("card", nlohmann::ordered_json::parse(zoo::embedded_model_card()).dump(2));
  print(text);
}

}  // namespace

void add_info(CLI::App& app) {
  auto* command = app.add_subcommand("info", "Family, sizes, dtype and state of a checkpoint");
  auto arguments = std::make_shared<InfoArguments>();
  command->add_option("MODEL", arguments->model, "A checkpoint (.pth, .safetensors, a folder), or `embedded`")
      ->required();
  command->add_option("--config", arguments->config,
                      "Configuration that shapes can't tell: JSON, or the path of a JSON file");
  command->add_flag("--json", arguments->json, "One JSON object instead of lines");
  command->callback([arguments] { run_info(*arguments); });
}

}  // namespace wkv::cli
