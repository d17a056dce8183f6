// `wkv convert`: any checkpoint to .safetensors under the published names.
#include "cli/commands.h"

namespace wkv::cli {

void add_convert(CLI::App& app) {
  struct ConvertArguments {
    std::string input, output, dtype, config;
  };
  auto* command = app.add_subcommand("convert", "Rewrite a checkpoint as .safetensors");
  auto arguments = std::make_shared<ConvertArguments>();
  command->add_option("IN", arguments->input, "A checkpoint (.pth, .safetensors, a folder)")->required();
  command->add_option("OUT", arguments->output, "The .safetensors file to write")->required();
  add_dtype(*command, arguments->dtype);
  command->add_option("--config", arguments->config,
                      "Configuration that shapes can't tell: JSON, or the path of a JSON file");
  command->callback([arguments] {
    zoo::LoadOptions options{.config = arguments->config};
    if (!arguments->dtype.empty()) options.dtype = parse_dtype(arguments->dtype);
    zoo::convert(arguments->input, arguments->output, options);
  });
}

}  // namespace wkv::cli
