// `wkv export`: a model as a file that PyTorch runs without this library's models.
#include <string>

#include "cli/commands.h"
#include "wkv/zoo/export_torchscript.h"

namespace wkv::cli {

void add_export(CLI::App& app) {
  struct ExportArguments : ModelArguments {
    std::string to, output;
    zoo::TraceSizes sizes;
  };
  auto* command = app.add_subcommand("export", "Write a model as TorchScript or for AOTInductor");
  auto arguments = std::make_shared<ExportArguments>();
  arguments->add_to(*command, kModelHelp)->required();
  command->add_option("--to", arguments->to, "torchscript, or aoti: compiled by AOTInductor, which takes minutes")
      ->check(CLI::IsMember({"torchscript", "aoti"}))
      ->required();
  command->add_option("OUT", arguments->output, "The file to write: .pt, of AOTInductor .pt2")->required();
  command->add_option("--batch", arguments->sizes.batch, "Rows of tokens, or images, that a call takes")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--block", arguments->sizes.block, "Tokens of a prompt that a language model reads at once")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  command->add_option("--size", arguments->sizes.image, "Height and width of images (default: as preprocessed)")
      ->check(CLI::PositiveNumber);
  command->callback([arguments] {
    zoo::export_torchscript(zoo::load(arguments->model, arguments->load_options()), arguments->output,
                            arguments->sizes);
  });
}

}  // namespace wkv::cli
