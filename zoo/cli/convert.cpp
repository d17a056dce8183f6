// `wkv convert`: any checkpoint to .safetensors under the published names, or to another family.
#include <fmt/format.h>

#include <cstdio>

#include "cli/commands.h"

namespace wkv::cli {

void add_convert(CLI::App& app) {
  struct ConvertArguments {
    std::string input, output, dtype;
    zoo::ConvertOptions options;
  };
  auto* command = app.add_subcommand("convert", "Rewrite a checkpoint as .safetensors");
  auto arguments = std::make_shared<ConvertArguments>();
  zoo::ConvertOptions& options = arguments->options;
  command->add_option("IN", arguments->input, "A checkpoint (.pth, .safetensors, a folder)")->required();
  command->add_option("OUT", arguments->output, "The .safetensors file to write")->required();
  add_dtype(*command, arguments->dtype);
  command->add_option("--config", options.config,
                      "Configuration that shapes can't tell: JSON, or the path of a JSON file");
  command->add_option("--to", options.to, "The published names (safetensors, upstream), or another family")
      ->check([](const std::string& name) { return name == "hf" ? "hf is not in this version" : ""; })
      ->check(CLI::IsMember(zoo::convert_targets()))
      ->capture_default_str();
  auto* perspectives = command->add_option("--perspectives", options.perspectives, "Of --to multi-temporal")
                           ->check(CLI::Range(1, 256))
                           ->capture_default_str();
  auto* mix_noise = command
                        ->add_option("--mix-noise", options.mix_noise,
                                     "Of --to multi-temporal: how much the perspectives differ at first")
                        ->check(CLI::NonNegativeNumber)
                        ->capture_default_str();
  command->callback([arguments, perspectives, mix_noise] {
    zoo::ConvertOptions& given = arguments->options;
    if (given.to != "multi-temporal" && perspectives->count() + mix_noise->count() > 0)
      throw CLI::ValidationError("--perspectives, --mix-noise", "only with --to multi-temporal");
    if (!arguments->dtype.empty()) given.dtype = parse_dtype(arguments->dtype);
    const zoo::ConvertReport report = zoo::convert(arguments->input, arguments->output, given);
    if (report.added_parameters == 0) return;
    fmt::print(stderr, "{}: {} parameters, {} of them new ({:.3f} % of the {} before)\n", report.family,
               report.parameters + report.added_parameters, report.added_parameters,
               100.0 * static_cast<double>(report.added_parameters) / static_cast<double>(report.parameters),
               report.parameters);
  });
}

}  // namespace wkv::cli
