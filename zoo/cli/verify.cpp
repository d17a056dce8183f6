// `wkv verify`: whether a model's files, tensors and numbers are those of its card.
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "catalogue/locate.h"
#include "cli/progress.h"
#include "cli/vision.h"
#include "eval/lambada.h"
#include "verify/checks.h"
#include "wkv/error.h"
#include "wkv/models/vision_model.h"
#include "wkv/zoo/embeddings.h"
#include "wkv/zoo/score.h"
#include "wkv/zoo/zero_shot.h"

namespace wkv::cli {
namespace {

struct VerifyArguments {
  VisionModelArguments model;
  std::string text, lambada, images, data;  // what figures are measured on
  int64_t context = 0;                      // of the text
  PromptArguments prompts;
  bool json = false;

  bool measures() const { return !text.empty() || !lambada.empty() || !images.empty(); }
};

using Measured = std::map<std::string, double>;  // by metric

// What is verified: a card, the files that it speaks of, and how they are loaded.
struct Subject {
  zoo::Card card;
  std::vector<std::filesystem::path> paths = {};
  zoo::LoadOptions options;
};

Subject find_subject(const VerifyArguments& arguments) {
  const std::string& model = arguments.model.model;
  const zoo::LoadOptions options = arguments.model.load_options();
  if (const auto located = zoo::locate(model, options.progress); located.card)
    return {*located.card, located.files, options};
  const auto card = zoo::card_of_file(model);
  if (!card || card->files.empty() || !std::filesystem::is_regular_file(model)) {
    throw Error(
        ErrorCode::not_found,
        fmt::format("{}: no card of the catalogue has a file of this name; `wkv list` shows what there is", model));
  }
  Subject subject{*card, {model}, options};
  if (options.config.empty()) subject.options.config = card->config;
  return subject;
}

models::LanguageModel& require_language(models::Model& model, const std::string& name) {
  if (auto* language = dynamic_cast<models::LanguageModel*>(&model)) return *language;
  throw Error(ErrorCode::invalid_argument, fmt::format("{}: reads no text: it is {}", name, model.family()));
}

Measured measure_text(const VerifyArguments& arguments, models::LanguageModel& model, const zoo::Tokenizer& tokenizer) {
  const std::string text = read_text(arguments.text);
  if (text.empty()) throw Error(ErrorCode::invalid_argument, fmt::format("{}: there is nothing in it", arguments.text));
  const zoo::Score score = zoo::score(model, tokenizer, text, arguments.context);
  return {{"bits per byte", score.nats / std::log(2.0) / static_cast<double>(text.size())}};
}

Measured measure_lambada(const std::string& path, models::LanguageModel& model, const zoo::Tokenizer& tokenizer) {
  const std::vector<std::string> passages = zoo::read_lambada(path);
  ProgressLine progress(static_cast<int64_t>(passages.size()), "passages");
  const auto score = zoo::score_lambada(model, tokenizer, passages, [&](int64_t done) { progress.advance_to(done); });
  return {{"perplexity", score.perplexity}, {"accuracy", 100 * score.accuracy}};
}

// The subfolders' classes: of a classifier without --labels in their order.
std::vector<zoo::ClassNames> class_names(const VerifyArguments& arguments, const models::Model& model) {
  if (!arguments.prompts.labels.empty()) return arguments.prompts.load_labels();
  const auto* classifier = dynamic_cast<const models::VisionModel*>(&model);
  if (!classifier || classifier->classes() == 0)
    throw CLI::ValidationError("--labels", fmt::format("the names of the classes: {} has none", model.family()));
  std::vector<zoo::ClassNames> names;
  for (int64_t i = 0; i < classifier->classes(); ++i) names.push_back({fmt::format("class {}", i)});
  return names;
}

Measured measure_images(const VerifyArguments& arguments, const std::shared_ptr<models::Model>& model) {
  const at::NoGradGuard no_grad;
  const auto names = class_names(arguments, *model);
  const auto images = zoo::read_labelled_folder(arguments.images, names).images;
  const auto dtype = model->parameters().front().scalar_type();
  std::function<at::Tensor(const at::Tensor&)> logits_of;
  if (auto* classifier = dynamic_cast<models::VisionModel*>(model.get())) {
    logits_of = [=](const at::Tensor& batch) { return classifier->forward(batch.to(dtype)).to(at::kFloat); };
  } else {
    const auto clip = require_clip(model, arguments.model.model);
    const auto tokenizer = arguments.model.load_tokenizer(*clip);
    const at::Tensor classes = arguments.prompts.classifier(*clip, *tokenizer, names);
    logits_of = [=](const at::Tensor& batch) {
      return zoo::zero_shot_logits(zoo::embed_images(*clip, batch), classes);
    };
  }
  Failures failures(images.size());
  const auto score =
      score_images(images, arguments.model.pipeline_of(*model), arguments.model.batch, failures, logits_of);
  failures.finish();
  return {{"top-1", 100 * score->top1}, {"mean per class", 100 * score->mean_per_class}};
}

std::vector<zoo::Check> check_numbers(const VerifyArguments& arguments, const Subject& subject) {
  const zoo::Card& card = subject.card;
  const auto prompt = zoo::prompt_check(card);
  if (!prompt && !arguments.measures()) return {};
  const auto model = zoo::load(arguments.model.model, subject.options);
  const bool reads = prompt || !arguments.text.empty() || !arguments.lambada.empty();
  const auto tokenizer = reads ? zoo::load_tokenizer(card.tokenizer) : nullptr;
  const auto language = [&]() -> models::LanguageModel& { return require_language(*model, arguments.model.model); };

  std::vector<zoo::Check> checks;
  const auto add_figures = [&](const Measured& measured, const std::string& data) {
    std::ranges::move(zoo::check_figures(card, arguments.data.empty() ? data : arguments.data, measured),
                      std::back_inserter(checks));
  };
  if (prompt) checks.push_back(zoo::check_logits(*prompt, language(), *tokenizer));
  if (!arguments.text.empty()) add_figures(measure_text(arguments, language(), *tokenizer), "");
  if (!arguments.lambada.empty()) add_figures(measure_lambada(arguments.lambada, language(), *tokenizer), "LAMBADA");
  if (!arguments.images.empty()) add_figures(measure_images(arguments, model), "");
  return checks;
}

// complete: nothing is left to check.
void print_checks(const VerifyArguments& arguments, const zoo::Card& card, const std::vector<zoo::Check>& checks,
                  bool complete) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  std::string text;
  for (const zoo::Check& check : checks) {
    const bool said = !check.expected.empty();
    list.push_back({{"check", check.what}, {"expected", nullptr}, {"found", check.found}, {"passed", check.passed}});
    if (said) list.back()["expected"] = check.expected;
    text += fmt::format("{}  {}: {}{}\n", check.passed ? "pass" : "FAIL", check.what, check.found,
                        !said                                           ? " (the card doesn't say)"
                        : check.passed && check.found == check.expected ? ""
                                                                        : fmt::format(", expected {}", check.expected));
  }
  const bool passed = complete && std::ranges::all_of(checks, &zoo::Check::passed);
  print(arguments.json ? json_line({{"model", arguments.model.model},
                                    {"card", card.name},
                                    {"passed", passed},
                                    {"checks", std::move(list)}})
                       : text);
}

void run_verify(const VerifyArguments& arguments) {
  const Subject subject = find_subject(arguments);
  std::vector<zoo::Check> checks = zoo::check_files(subject.card, subject.paths);
  const auto add = [&](std::vector<zoo::Check> more) { std::ranges::move(more, std::back_inserter(checks)); };
  try {
    add(zoo::check_tensors(subject.card, zoo::describe(arguments.model.model, subject.options)));
    add(check_numbers(arguments, subject));
  } catch (const Error&) {  // what was found before it is told all the same
    print_checks(arguments, subject.card, checks, /*complete=*/false);
    throw;
  }
  print_checks(arguments, subject.card, checks, /*complete=*/true);
  std::vector<std::string> failed;
  for (const zoo::Check& check : checks) {
    if (!check.passed) failed.push_back(check.what);
  }
  if (!failed.empty()) {
    throw Error(ErrorCode::checksum, fmt::format("{}: not what the card {} says: {}", arguments.model.model,
                                                 subject.card.name, fmt::join(failed, ", ")));
  }
}

}  // namespace

void add_verify(CLI::App& app) {
  auto* command = app.add_subcommand("verify", "Check a model's files, tensors and figures against its card");
  auto arguments = std::make_shared<VerifyArguments>();
  arguments->model.add_to(*command);
  command->add_option("--text", arguments->text, "Compare bits per byte on this text");
  add_context(*command, arguments->context);
  command->add_option("--lambada", arguments->lambada,
                      "Compare perplexity and accuracy on LAMBADA: a JSON object a line");
  command->add_option("--images", arguments->images, "Compare accuracy on this folder, with one subfolder a class");
  command->add_option("--labels", arguments->prompts.labels,
                      "The classes of --images, as of `wkv zero-shot` (default: a classifier's own, by their order)");
  command->add_option("--data", arguments->data, "What the card calls the data, where it has figures on several");
  command->add_flag("--json", arguments->json, "One JSON object instead of lines");
  command->callback([arguments] { run_verify(*arguments); });
}

}  // namespace wkv::cli
