// `wkv pull`: fetches a model of the catalogue, so that it can be used without a network.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/progress.h"
#include "wkv/error.h"
#include "wkv/zoo/catalogue.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::cli {
namespace {

struct PullArguments {
  std::string name;
  bool json = false;
};

void run_pull(const PullArguments& arguments) {
  const auto card = zoo::find_card(arguments.name);
  if (!card) {
    throw Error(ErrorCode::not_found, fmt::format("{}: no model of this name: see `wkv list`", arguments.name));
  }
  const auto progress = show_downloads();
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  const auto add = [&](const std::filesystem::path& path) {
    files.push_back({{"path", path.string()}});
    if (!arguments.json) print(path.string() + "\n");
  };
  for (const zoo::RemoteFile& file : card->files) {
    add(zoo::fetch(file, progress));
    if (const auto found = zoo::fetched(file)) {
      files.back().update({{"size", found->size}, {"sha256", found->sha256}});
      if (!found->commit.empty()) files.back()["commit"] = found->commit;
    }
  }
  for (const auto& path : zoo::tokenizer_files(card->tokenizer, progress)) add(path);
  if (arguments.json) print(nlohmann::ordered_json{{"name", card->name}, {"files", files}}.dump(2) + "\n");
}

}  // namespace

void add_pull(CLI::App& app) {
  auto* command = app.add_subcommand("pull", "Fetch a model of the catalogue, and say where its files are");
  auto arguments = std::make_shared<PullArguments>();
  command->add_option("NAME", arguments->name, "A model of the catalogue: see `wkv list`")->required();
  command->add_flag("--json", arguments->json, "One JSON object instead of lines: the files' sizes and checksums, too");
  command->callback([arguments] { run_pull(*arguments); });
}

}  // namespace wkv::cli
