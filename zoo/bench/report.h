// The speed of a language model: every piece of work once a round, the median of the rounds and their spread.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "wkv/export.h"
#include "wkv/models/language_model.h"

namespace wkv::zoo {

struct BenchOptions {
  std::vector<int64_t> batches = {1}, prompts = {512}, threads = {};  // threads; none: as many as there are now
  int64_t decode = 32;                                                // tokens of each sequence
  int64_t rounds = 5;
};

struct BenchResult {
  std::string work;  // "decode" or "prompt"
  int64_t threads = 0, batch = 0;
  int64_t tokens = 0;                          // of each sequence
  double median = 0, lowest = 0, highest = 0;  // tokens/s, those of all sequences together
};

// In the order of threads, work, batch, tokens. Leaves the number of threads as it was. Throws wkv::Error as
// time_decode does, before anything is timed.
WKV_API std::vector<BenchResult> measure_speed(models::LanguageModel& model, const BenchOptions& options);

}  // namespace wkv::zoo
