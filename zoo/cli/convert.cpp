// `wkv convert`: any checkpoint as .safetensors, .pth or a folder of the model hub, in any dtype, or as another family.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/progress.h"

namespace wkv::cli {
namespace {

// What the user should know of the result, on stderr.
void print_report(const zoo::ConvertReport& report, const std::string& output) {
  if (report.added_parameters > 0) {
    fmt::print(stderr, "{}: {} parameters, {} of them new ({:.3f} % of the {} before)\n", report.family,
               report.parameters + report.added_parameters, report.added_parameters,
               100.0 * static_cast<double>(report.added_parameters) / static_cast<double>(report.parameters),
               report.parameters);
  }
  if (!report.overflowed.empty()) {
    fmt::print(stderr, "wkv: warning: {}: values too large for this dtype became infinite in {}\n", output,
               fmt::join(report.overflowed, ", "));
  }
  for (const auto& [key, value] : report.unwritten_metadata)
    fmt::print(stderr, "wkv: note: {}: a .pth has no place for {} = {}: say it with --config\n", output, key, value);
}

}  // namespace

void add_convert(CLI::App& app) {
  struct ConvertArguments {
    std::string input, output, dtype;
    zoo::ConvertOptions options;
  };
  auto* command =
      app.add_subcommand("convert", "Rewrite a checkpoint as .safetensors, .pth or a folder of the model hub");
  auto arguments = std::make_shared<ConvertArguments>();
  zoo::ConvertOptions& options = arguments->options;
  command->add_option("IN", arguments->input, kModelHelp)->required();
  command->add_option("OUT", arguments->output, "The file to write, .safetensors or .pth; a new folder with --to hf")
      ->required();
  add_dtype(*command, arguments->dtype);
  command->add_option("--config", options.config,
                      "Configuration that shapes can't tell: JSON, or the path of a JSON file");
  command
      ->add_option("--to", options.to,
                   "The published names (safetensors, upstream), those of the model hub's packages (hf), or another "
                   "family (default: the published names, in the container that OUT is called by)")
      ->check(CLI::IsMember(zoo::convert_targets()));
  std::vector<std::pair<CLI::Option*, std::string>> of_targets;
  const auto add_number = [&](const std::string& target, const std::string& name, auto& value, const std::string& what,
                              const CLI::Validator& range) {
    auto* option = command->add_option(name, value, fmt::format("Of --to {}: {}", target, what));
    of_targets.emplace_back(option->check(range)->capture_default_str(), target);
  };
  of_targets.emplace_back(
      command->add_option("--shard-size", options.shard_bytes, "Of --to hf: the largest size of a file, as 5GB")
          ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
          ->check(CLI::PositiveNumber)
          ->capture_default_str(),
      "hf");
  add_number("multi-temporal", "--perspectives", options.perspectives, "how many", CLI::Range(1, 256));
  add_number("multi-temporal", "--mix-noise", options.mix_noise, "how much the perspectives differ at first",
             CLI::NonNegativeNumber);
  add_number("rrwkv", "--interval", options.interval, "tokens of a segment", CLI::Range(1, 1 << 30));
  add_number("rrwkv", "--reduction", options.reduction, "the model's width by that of the gate's bottleneck",
             CLI::Range(1, 1 << 30));
  command->callback([arguments, of_targets] {
    zoo::ConvertOptions& given = arguments->options;
    for (const auto& [option, target] : of_targets) {
      if (option->count() > 0 && given.to != target)
        throw CLI::ValidationError(option->get_name(), "only with --to " + target);
    }
    set_dtype(given, arguments->dtype);
    given.progress = show_downloads();
    given.progress = show_downloads();
    print_report(zoo::convert(arguments->input, arguments->output, given), arguments->output);
  });
}

}  // namespace wkv::cli
