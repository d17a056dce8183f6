// `wkv train`: a recipe, and changes to it.
#include "wkv/zoo/train.h"

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <iostream>
#include <limits>

#include "cli/commands.h"
#include "cli/progress.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::cli {
namespace {

// A step frees what the next one allocates again. glibc would give it back to the system, which then clears every page
// of it anew: a sixth of a small model's step.
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest that it takes
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}

}  // namespace

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
    keep_freed_memory();
    if (!config.model.checkpoint.empty()) zoo::locate(config.model.checkpoint, show_downloads());
    const zoo::TrainReport report = zoo::train(config, std::cerr, isatty(STDERR_FILENO) == 1);
    if (!report.folder.empty()) print(fmt::format("{}\n", report.folder.string()));
  });
}

}  // namespace wkv::cli
