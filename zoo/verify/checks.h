// Whether a model is what its card says: its files, its tensors, its numbers.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wkv/export.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/catalogue.h"
#include "wkv/zoo/load.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

struct Check {
  std::string what;      // "sha256 of model.pth"
  std::string expected;  // what the card says, with the tolerance; empty: it says nothing, and anything passes
  std::string found;
  bool passed = true;
};

// The size and the sha256 of each of the card's files; paths: where they are, in their order.
WKV_API std::vector<Check> check_files(const Card& card, const std::vector<std::filesystem::path>& paths);

// The family and the number of parameters.
WKV_API std::vector<Check> check_tensors(const Card& card, const Description& found);

// The fixed prompt that the card's "check" has, and a few of the logits after its last token, [[token, logit], ...];
// none: the card has no such check.
struct PromptCheck {
  std::string prompt;
  std::vector<std::pair<int64_t, double>> logits;
};
WKV_API std::optional<PromptCheck> prompt_check(const Card& card);
// Each logit must be within 1e-3 of the largest of them.
WKV_API Check check_logits(const PromptCheck& check, models::LanguageModel& model, const Tokenizer& tokenizer);

// What was measured, by metric, against the card's figures on the data that is called `data`, or whose name
// contains it, in any case: within 0.3 points of a percentage, within 1 % of another figure. Throws wkv::Error where
// the card has none, or has them on several sets of data.
WKV_API std::vector<Check> check_figures(const Card& card, const std::string& data,
                                         const std::map<std::string, double>& measured);

}  // namespace wkv::zoo
