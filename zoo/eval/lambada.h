// LAMBADA: the last word of each passage, given the passage before it (Paperno et al. 2016), as RWKV's authors score
// it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "wkv/export.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

// As published: a JSON object {"text"} a line. Throws wkv::Error, which names the file and the line.
WKV_API std::vector<std::string> read_lambada(const std::filesystem::path& path);

struct LambadaScore {
  double perplexity = 0;  // exp of the mean over passages of -log p(word)
  double accuracy = 0;    // the share of words of which every token is the most probable one, 0 to 1
};

// A passage comes after the end-of-text token; the word has the space before it. done: told of passages so far.
WKV_API LambadaScore score_lambada(models::LanguageModel& model, const Tokenizer& tokenizer,
                                   const std::vector<std::string>& passages,
                                   const std::function<void(int64_t)>& done = {});

}  // namespace wkv::zoo
