// `wkv score`: how well a model predicts a text, in bits per byte.
#include "wkv/zoo/score.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "wkv/error.h"

namespace wkv::cli {
namespace {

struct ScoreArguments {
  LanguageModelArguments model;
  std::string text;
  int64_t context = 0;
  bool json = false;
};

void run_score(const ScoreArguments& arguments) {
  const std::string text = read_text(arguments.text);
  if (text.empty())
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: there is nothing to score in it", arguments.text));
  const auto model = arguments.model.load();
  const auto tokenizer = arguments.model.load_tokenizer(*model);
  const zoo::Score score = zoo::score(*model, *tokenizer, text, arguments.context);
  const double tokens = static_cast<double>(score.tokens);
  const double bits_per_byte = score.nats / std::log(2.0) / static_cast<double>(text.size());
  const double perplexity = std::exp(score.nats / tokens);
  if (arguments.json) {
    print(nlohmann::ordered_json{{"bytes", text.size()},
                                 {"tokens", score.tokens},
                                 {"bits_per_byte", bits_per_byte},
                                 {"perplexity", perplexity},
                                 {"tokens_per_second", tokens / score.seconds}}
              .dump() +
          "\n");
  } else {
    print(fmt::format("{:.4f} bits per byte, perplexity {:.4f} ({} tokens, {} bytes)\n", bits_per_byte, perplexity,
                      score.tokens, text.size()));
    fmt::print(stderr, "{:.1f} tokens/s\n", tokens / score.seconds);
  }
}

}  // namespace

void add_score(CLI::App& app) {
  auto* command = app.add_subcommand("score", "Bits per byte and perplexity of a text");
  auto arguments = std::make_shared<ScoreArguments>();
  arguments->model.add_to(*command, /*model_required=*/true);
  command->add_option("--text", arguments->text, "The text file; -: standard input")->required();
  add_context(*command, arguments->context);
  command->add_flag("--json", arguments->json, "One JSON object instead of a line");
  command->callback([arguments] { run_score(*arguments); });
}

}  // namespace wkv::cli
