#include "eval/lambada.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "text/model_fit.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

struct Word {
  double log_probability = 0;
  bool guessed = false;
};

Word score_last_word(models::LanguageModel& model, const Tokenizer& tokenizer, const std::string& passage) {
  const size_t space = passage.rfind(' ');
  std::vector<int64_t> tokens = opening_tokens(tokenizer);
  const std::vector<int64_t> context = tokenizer.encode(std::string_view(passage).substr(0, space)),
                             word = tokenizer.encode(std::string_view(passage).substr(space));
  tokens.insert(tokens.end(), context.begin(), context.end());
  tokens.insert(tokens.end(), word.begin(), word.end());
  require_fit(tokenizer, tokens, model.vocab_size(), "passage");
  const auto words = static_cast<int64_t>(word.size()), before = static_cast<int64_t>(tokens.size()) - words;
  const at::Tensor inputs = at::tensor(tokens, at::kLong).slice(0, 0, -1).unsqueeze(0);
  const at::Tensor hidden = model.hidden(inputs, {}).first.slice(1, before - 1);
  const at::Tensor log_probabilities = model.logits(hidden).squeeze(0).to(at::kDouble).log_softmax(-1);
  const at::Tensor targets = at::tensor(word, at::kLong);
  return {log_probabilities.gather(1, targets.unsqueeze(1)).sum().item<double>(),
          at::equal(log_probabilities.argmax(-1), targets)};
}

}  // namespace

std::vector<std::string> read_lambada(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw Error(ErrorCode::not_found, fmt::format("{}: can't be read", path.string()));
  std::vector<std::string> passages;
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find_first_not_of(kSpace) == std::string::npos) continue;
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    const auto text = json.is_object() ? json.find("text") : json.end();
    std::string passage = text != json.end() && text->is_string() ? text->get<std::string>() : "";
    passage.erase(passage.find_last_not_of(kSpace) + 1);
    if (passage.find(' ') == std::string::npos)
      throw Error(ErrorCode::corrupt_file,
                  fmt::format("{}, line {}: expected {{\"text\": a passage of several words}}", path.string(), number));
    passages.push_back(std::move(passage));
  }
  if (passages.empty()) throw Error(ErrorCode::corrupt_file, fmt::format("{}: there is nothing in it", path.string()));
  return passages;
}

LambadaScore score_lambada(models::LanguageModel& model, const Tokenizer& tokenizer,
                           const std::vector<std::string>& passages, const std::function<void(int64_t)>& done) {
  const at::NoGradGuard no_grad;
  double nats = 0;
  int64_t read = 0, guessed = 0;
  for (const std::string& passage : passages) {
    const Word word = score_last_word(model, tokenizer, passage);
    nats -= word.log_probability;
    guessed += word.guessed ? 1 : 0;
    if (done) done(++read);
  }
  const auto count = static_cast<double>(passages.size());
  return {std::exp(nats / count), static_cast<double>(guessed) / count};
}

}  // namespace wkv::zoo
