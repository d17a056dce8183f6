// `wkv train`: a recipe, and changes to it.
#include "wkv/zoo/train.h"

#include <fmt/format.h>
#include <unistd.h>

#include <iostream>

#include "cli/commands.h"
#include "cli/progress.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::cli {

void add_train(CLI::App& app) {
  struct TrainArguments {
    std::string recipe;
    std::vector<std::string> overrides;
  };
  auto* command = app.add_subcommand("train", "Train a model from a recipe");
  auto arguments = std::make_shared<TrainArguments>();
  command->add_option("CONFIG", arguments->recipe, "The recipe, a JSON file")->required();
  command->add_option("key=value", arguments->overrides, "Changes to the recipe, as in optimizer.learning_rate=1e-3");
  command->callback([arguments] {
    const zoo::TrainConfig config = zoo::parse_train_config(arguments->recipe, arguments->overrides);
    if (!config.model.checkpoint.empty()) zoo::locate(config.model.checkpoint, show_downloads());
    const zoo::TrainReport report = zoo::train(config, std::cerr, isatty(STDERR_FILENO) == 1);
    if (!report.folder.empty()) print(fmt::format("{}\n", report.folder.string()));
  });
}

}  // namespace wkv::cli
