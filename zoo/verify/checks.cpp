#include "verify/checks.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/ascii.h"
#include "hub/digest.h"
#include "text/model_fit.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr double kLogitTolerance = 1e-3;   // of the largest of those compared
constexpr double kPointTolerance = 0.3;    // of percentages: decoders of images differ by a bit
constexpr double kFigureTolerance = 0.01;  // of other figures, relative

Check equal(std::string what, std::string expected, std::string found) {
  const bool passed = expected.empty() || expected == found;
  return {std::move(what), std::move(expected), std::move(found), passed};
}

std::string list_of(const std::vector<std::pair<int64_t, double>>& logits) {
  std::vector<std::string> items;
  for (const auto& [token, logit] : logits) items.push_back(fmt::format("{}: {:.4f}", token, logit));
  return fmt::format("{}", fmt::join(items, ", "));
}

double tolerance_of(const Figure& figure) {
  return figure.unit == "%" ? kPointTolerance : kFigureTolerance * std::abs(figure.value);
}

}  // namespace

std::vector<Check> check_files(const Card& card, const std::vector<std::filesystem::path>& paths) {
  std::vector<Check> checks;
  for (size_t i = 0; i < paths.size(); ++i) {
    const RemoteFile& file = card.files[i];
    checks.push_back(equal("size of " + file.path, file.size ? std::to_string(*file.size) : "",
                           std::to_string(std::filesystem::file_size(paths[i]))));
    checks.push_back(equal("sha256 of " + file.path, file.sha256.value_or(""), sha256_of_file(paths[i])));
  }
  return checks;
}

std::vector<Check> check_tensors(const Card& card, const Description& found) {
  return {
      equal("family", card.family, found.family),
      equal("parameters", card.parameters ? std::to_string(*card.parameters) : "", std::to_string(found.parameters))};
}

std::optional<PromptCheck> prompt_check(const Card& card) {
  const auto json = nlohmann::json::parse(card.json);
  const auto found = json.find("check");
  if (found == json.end() || found->is_null()) return std::nullopt;
  try {
    PromptCheck check{found->at("prompt").get<std::string>(),
                      found->at("logits").get<std::vector<std::pair<int64_t, double>>>()};
    if (!check.prompt.empty() && !check.logits.empty()) return check;
  } catch (const nlohmann::json::exception&) {  // another type, or not there
  }
  throw Error(
      ErrorCode::corrupt_file,
      fmt::format(R"(the card {}: its check must be {{"prompt": text, "logits": [[token, logit], ...]}})", card.name));
}

Check check_logits(const PromptCheck& check, models::LanguageModel& model, const Tokenizer& tokenizer) {
  const std::vector<int64_t> tokens = tokenizer.encode(check.prompt);
  require_fit(tokenizer, tokens, model.vocab_size(), "prompt");
  const at::NoGradGuard no_grad;
  const at::Tensor logits = model.forward(at::tensor(tokens, at::kLong).unsqueeze(0)).logits[0][-1].to(at::kDouble);
  double largest = 0, difference = 0;
  std::vector<std::pair<int64_t, double>> found;
  for (const auto& [token, logit] : check.logits) {
    if (token < 0 || token >= logits.size(0)) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("the card's check has token {}, the model's logits end at {}", token, logits.size(0) - 1));
    }
    found.emplace_back(token, logits[token].item<double>());
    largest = std::max(largest, std::abs(logit));
    const double distance = std::abs(found.back().second - logit);
    difference = std::isnan(distance) ? INFINITY : std::max(difference, distance);
  }
  const double tolerance = kLogitTolerance * largest;
  return {fmt::format("logits after \"{}\"", check.prompt),
          fmt::format("{}, within {:.4f}", list_of(check.logits), tolerance), list_of(found), difference <= tolerance};
}

std::vector<Check> check_figures(const Card& card, const std::string& data,
                                 const std::map<std::string, double>& measured) {
  const std::string wanted = ascii_lower_case(data);
  const bool whole =
      std::ranges::any_of(card.figures, [&](const Figure& f) { return ascii_lower_case(f.data) == wanted; });
  std::vector<Check> checks;
  std::set<std::string> sets;
  for (const Figure& figure : card.figures) {
    const auto value = measured.find(figure.metric);
    const std::string name = ascii_lower_case(figure.data);
    if (value == measured.end() || (whole ? name != wanted : name.find(wanted) == std::string::npos)) continue;
    sets.insert(figure.data);
    const double tolerance = tolerance_of(figure);
    checks.push_back({fmt::format("{}, {}", figure.metric, figure.data),
                      fmt::format("{}{}, within {:.4g}", figure.value, figure.unit, tolerance),
                      fmt::format("{:.4f}{}", value->second, figure.unit),
                      std::abs(value->second - figure.value) <= tolerance});
  }
  if (sets.size() > 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: has figures on several sets of data, name one by --data: {}", card.name,
                            fmt::join(sets, ", ")));
  }
  if (checks.empty()) {
    std::vector<std::string> metrics;
    for (const auto& [metric, value] : measured) metrics.push_back(fmt::format("{} {:.4f}", metric, value));
    throw Error(ErrorCode::not_found,
                fmt::format("{}: its card has no such figure{}; measured: {}", card.name,
                            data.empty() ? "" : fmt::format(" on \"{}\"", data), fmt::join(metrics, ", ")));
  }
  return checks;
}

}  // namespace wkv::zoo
