// `wkv generate`: a prompt in, text out as it comes.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "wkv/error.h"
#include "wkv/zoo/state_file.h"

namespace wkv::cli {
namespace {

struct GenerateArguments {
  LanguageModelArguments model;
  SamplingArguments sampling;
  std::string prompt, state_in, state_out;
  bool json = false;
};

double rate(int64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }

void run_generate(const GenerateArguments& arguments) {
  const auto model = arguments.model.load();
  const auto tokenizer = arguments.model.load_tokenizer(*model);
  const std::string prompt = arguments.prompt == "-" ? read_text("-") : arguments.prompt;
  const Context context = arguments.state_in.empty() ? Context() : zoo::load_context(arguments.state_in);

  const auto result =
      generate(*model, *tokenizer, prompt, arguments.sampling.options, context, [&](std::string_view piece) {
        if (!arguments.json) print(piece);
        return true;
      });
  if (!arguments.state_out.empty()) zoo::save_context(arguments.state_out, result.context);
  const auto drawn = static_cast<int64_t>(result.tokens.size());
  const double prompt_rate = rate(result.prompt_tokens, result.prompt_seconds),
               decode_rate = rate(drawn, result.decode_seconds);
  if (arguments.json) {
    print(nlohmann::ordered_json{{"text", result.text},
                                 {"tokens", result.tokens},
                                 {"finish_reason", result.finish_reason},
                                 {"prompt_tokens", result.prompt_tokens},
                                 {"prompt_tokens_per_second", prompt_rate},
                                 {"generated_tokens_per_second", decode_rate}}
              .dump() +
          "\n");
    return;
  }
  print("\n");
  fmt::print(stderr, "prompt: {} tokens, {:.1f} tokens/s; generated: {} tokens, {:.1f} tokens/s\n",
             result.prompt_tokens, prompt_rate, drawn, decode_rate);
}

}  // namespace

void add_generate(CLI::App& app) {
  auto* command = app.add_subcommand("generate", "Continue a text");
  auto arguments = std::make_shared<GenerateArguments>();
  arguments->model.add_to(*command, /*model_required=*/false);
  command->add_option("--prompt", arguments->prompt, "The text to continue; -: standard input");
  command->add_option("--tokens", arguments->sampling.options.max_tokens, "At most so many")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  arguments->sampling.add_to(*command);
  command->add_option("--state-in", arguments->state_in, "Go on from a saved state");
  command->add_option("--state-out", arguments->state_out, "Save the state after the last token");
  command->add_flag("--json", arguments->json, "One JSON object instead of the text");
  command->callback([arguments] { run_generate(*arguments); });
}

}  // namespace wkv::cli
