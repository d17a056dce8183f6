// From logits to the next token, in the order of the published inference package (pip package `rwkv`): penalties on the
// logits, softmax, top-p cut, top-k cut, and only then the temperature.
#pragma once
#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

struct SamplerOptions {
  double temperature = 1.0;  // 0: the most probable token
  double top_p =
      1.0;  // keep the most probable tokens up to the one that lifts their sum to top_p; 0: the most probable one
  int64_t top_k = 0;               // keep at most so many; 0: all
  double presence_penalty = 0.0;   // subtracted from the logit of every token drawn before
  double frequency_penalty = 0.0;  // subtracted once for every time it was drawn, counts decaying
  double penalty_decay = 0.996;    // of the counts, a step
  bool operator==(const SamplerOptions&) const = default;
};

// The distribution that a token is drawn from: softmax, top-p cut, top-k cut, then p^(1/temperature), normalised.
// Tokens exactly as probable as the last one that top-p keeps are kept too; top-k, like the package, prefers the larger
// id among equals. top_p = 1 keeps every token (the package's fp32 sum may miss 1; it then keeps only the first one).
// Throws wkv::Error for options out of range, and for logits of which one is NaN or +inf, or all are -inf.
WKV_API std::vector<float> token_distribution(std::span<const float> logits, const SamplerOptions& options);

// Draws tokens one after another: penalties over those drawn, then the distribution, then a draw. The same seed draws
// the same tokens from the same logits on every machine. Temperature 0 takes the first of equals, whatever the seed.
class WKV_API Sampler {
 public:
  // uncounted tokens get the presence penalty, never the frequency penalty (the package: whitespace and digits, see
  // generate.h).
  Sampler(SamplerOptions options, std::uint64_t seed, std::vector<int64_t> uncounted = {});
  // logits [V]; banned tokens are never drawn. Remembers what it drew.
  int64_t next(std::span<const float> logits, std::span<const int64_t> banned = {});

 private:
  SamplerOptions options_;
  std::mt19937_64 generator_;
  std::vector<int64_t> uncounted_;    // sorted
  std::map<int64_t, double> counts_;  // of every token drawn before
};

}  // namespace wkv::zoo
